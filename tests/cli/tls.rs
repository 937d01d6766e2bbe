//! What goes to the NATS server is encrypted, and each side knows whom it talks to:
//! certificates of a test's own authority, nkeys, and credentials.

use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use nkeys::KeyPair as Nkey;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::broker::{Broker, with_nkeys};
use crate::cluster::is_their_sum;
use crate::support::command::Squall;
use crate::support::guests::example;
use crate::support::server::Server;

/// An authority that signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// DER in the form in which files have it.
fn pem(kind: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    format!(
        "-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n",
        lines.join("\n")
    )
}

fn key() -> KeyPair {
    KeyPair::generate().expect("there are random numbers")
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = key();
        let certificate = params.self_signed(&key).expect("it signs");
        Self {
            certificate: pem("CERTIFICATE", certificate.der()),
            issuer: Issuer::new(params, key),
        }
    }

    /// Its own certificate, in a file.
    fn written(&self, path: PathBuf) -> PathBuf {
        fs::write(&path, &self.certificate).expect("the folder is the test's");
        path
    }

    /// Signs a certificate for a name: the files of it and of its key.
    fn sign(&self, name: &str, folder: &Path) -> (PathBuf, PathBuf) {
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let own = key();
        let certificate = params.signed_by(&own, &self.issuer).expect("it signs");
        let write = |kind: &str, end: &str, der: &[u8]| {
            let path = folder.join(format!("{name}.{end}"));
            fs::write(&path, pem(kind, der)).expect("the folder is the test's");
            path
        };
        (
            write("CERTIFICATE", "crt", certificate.der()),
            write("PRIVATE KEY", "key", &own.serialize_der()),
        )
    }
}

/// What makes a server speak TLS; `asks` has it ask clients for certificates.
fn tls(authority: &Authority, folder: &Path, asks: bool) -> String {
    let (certificate, key) = authority.sign("127.0.0.1", folder);
    let ca = authority.written(folder.join("ca.crt"));
    let quoted = |path: &Path| format!("{path:?}");
    let verify = match asks {
        true => format!(", ca_file: {}, verify: true", quoted(&ca)),
        false => String::new(),
    };
    format!(
        "tls {{ cert_file: {}, key_file: {}{verify} }}\n",
        quoted(&certificate),
        quoted(&key)
    )
}

/// A short run of a master and one worker, who say this of themselves.
#[track_caller]
fn run(broker: &Broker, say: impl Fn(Squall, &str) -> Squall) {
    let server = Server::start();
    let _worker = say(broker.worker_without_key("a"), "worker").start();
    let outcome = say(broker.master_without_key(&example("hello"), 1), "master")
        .flag("--base-url", server.url(""))
        .flag("--recorder", "none")
        .flag("--iterations", "20")
        .run()
        .exited(0);
    let summary = outcome.summary();
    assert_eq!((summary.count("/all/requests"), server.total()), (20, 20));
    is_their_sum(&summary);
    assert!(
        !outcome.stderr.contains("not encrypted"),
        "{}",
        outcome.story()
    );
}

/// A worker that cannot get in: what it says.
#[track_caller]
fn refused(worker: Squall) -> String {
    let outcome = worker.run().exited(104);
    outcome.flat_stderr()
}

#[test]
fn a_run_goes_over_tls_with_nkeys_and_a_strange_authority_is_refused() {
    let authority = Authority::new();
    let broker = Broker::configured("tls", |folder| {
        tls(&authority, folder, false) + &with_nkeys(folder)
    });
    run(&broker, |squall, role| {
        squall
            .flag("--nats-nkey", broker.key(role))
            .flag("--nats-ca", broker.file("ca.crt"))
    });
    let strange = Authority::new().written(broker.file("strange.crt"));
    let said = refused(broker.worker("b").flag("--nats-ca", strange));
    assert!(
        said.contains("the certificate is signed by nobody that this machine trusts")
            && said.contains("hint: `--nats-ca` names"),
        "{said}"
    );
    // Nor does it get in with none.
    let said = refused(broker.worker("c"));
    assert!(said.contains("signed by nobody"), "{said}");
    // And without TLS nothing is said to a server that wants it.
    let said = refused(
        broker
            .worker("d")
            .flag("--nats-ca", broker.file("missing.crt")),
    );
    assert!(
        said.contains("cannot read") && said.contains("missing.crt"),
        "{said}"
    );
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let broker = Broker::configured("tls", |folder| {
        let (certificate, key) = authority.sign("broker.example", folder);
        authority.written(folder.join("ca.crt"));
        format!(
            "tls {{ cert_file: {certificate:?}, key_file: {key:?} }}\n{}",
            with_nkeys(folder)
        )
    });
    let said = refused(broker.worker("a").flag("--nats-ca", broker.file("ca.crt")));
    assert!(
        said.contains("the certificate is for another name"),
        "{said}"
    );
}

#[test]
fn a_server_that_asks_for_certificates_gets_them() {
    let authority = Authority::new();
    let broker = Broker::configured("tls", |folder| {
        tls(&authority, folder, true) + &with_nkeys(folder)
    });
    let (certificate, key) =
        authority.sign("squall", broker.key("any").parent().expect("a folder"));
    run(&broker, |squall, role| {
        squall
            .flag("--nats-nkey", broker.key(role))
            .flag("--nats-ca", broker.file("ca.crt"))
            .flag("--nats-cert", &certificate)
            .flag("--nats-key", &key)
    });
}

/// A JWT as NATS has them.
fn jwt(issuer: &Nkey, subject: &Nkey, name: &str, nats: &Value) -> String {
    let part = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let head = part(json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
    let body = part(json!({
        "jti": name,
        "iat": 1_700_000_000,
        "iss": issuer.public_key(),
        "sub": subject.public_key(),
        "name": name,
        "nats": nats,
    }));
    let signed = format!("{head}.{body}");
    let signature = issuer.sign(signed.as_bytes()).expect("it has its seed");
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

/// What makes a server know users by their credentials, which are in files.
fn with_credentials(folder: &Path) -> String {
    let (operator, account) = (Nkey::new_operator(), Nkey::new_account());
    let all = json!(-1);
    let limits = json!({
        "subs": all, "data": all, "payload": all, "imports": all, "exports": all,
        "wildcards": true, "conn": all, "leaf": all,
    });
    let of_operator = json!({ "type": "operator", "version": 2 });
    let of_account = json!({ "type": "account", "version": 2, "limits": limits });
    let rights = [
        (
            "master",
            vec!["squall.*.m.>"],
            vec!["squall.*.w.>", "squall.*.m.run.>"],
        ),
        ("worker", vec!["squall.*.w.>"], vec!["squall.*.m.>"]),
    ];
    for (role, says, hears) in rights {
        let user = Nkey::new_user();
        let of_user = json!({
            "type": "user", "version": 2,
            "pub": { "allow": says }, "sub": { "allow": hears },
            "subs": all, "data": all, "payload": all,
        });
        let token = jwt(&account, &user, role, &of_user);
        let seed = user.seed().expect("it was made with one");
        let credentials = format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        fs::write(folder.join(format!("{role}.creds")), credentials)
            .expect("the folder is the test's");
    }
    format!(
        "operator: \"{}\"\nresolver: MEMORY\nresolver_preload: {{ {}: \"{}\" }}\n",
        jwt(&operator, &operator, "operator", &of_operator),
        account.public_key(),
        jwt(&operator, &account, "squall", &of_account),
    )
}

#[test]
fn a_run_goes_over_tls_with_credentials() {
    let authority = Authority::new();
    let broker = Broker::configured("tls", |folder| {
        tls(&authority, folder, false) + &with_credentials(folder)
    });
    run(&broker, |squall, role| {
        squall
            .flag("--nats-creds", broker.file(&format!("{role}.creds")))
            .flag("--nats-ca", broker.file("ca.crt"))
    });
    let unknown = refused(
        broker
            .worker_without_key("b")
            .flag("--nats-ca", broker.file("ca.crt")),
    );
    assert!(
        unknown.contains("authorization violation") && unknown.contains("`--nats-creds`"),
        "{unknown}"
    );
}

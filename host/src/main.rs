//! dev main
use squall::{plan::*, run::*};
use std::{num::NonZeroU32, sync::Arc, time::Duration};
#[global_allocator]
static A: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let vus = NonZeroU32::new(a[2].parse().unwrap()).unwrap();
    let executor = if a[3].ends_with('s') {
        Executor::ConstantVus {
            vus,
            duration: squall::units::parse_duration(&a[3]).unwrap(),
        }
    } else {
        Executor::SharedIterations {
            vus,
            iterations: a[3].parse().unwrap(),
            max_duration: Duration::from_secs(600),
        }
    };
    let plan = Plan {
        test_plan: "x".into(),
        scenarios: vec![Scenario {
            name: "default".into(),
            script: ScriptSource::File(a[1].clone().into()),
            executor,
            env: std::env::vars()
                .filter(|(k, _)| k == "CASE" || k == "EVERY")
                .collect(),
        }],
        thresholds: vec![],
        tags: vec![],
        seed: 1,
        http: HttpPlan {
            base_url: Some(a[4].clone()),
            timeout: Duration::from_secs(60),
            allow_hosts: None,
            insecure_tls: false,
        },
        limits: Limits {
            vu_memory: 64 << 20,
            iteration_timeout: Duration::from_secs(5),
            names: 1000,
            log_messages: 1000,
        },
        graceful_stop: Duration::from_secs(30),
        stats_interval: Duration::from_secs(2),
        system_interval: Duration::from_secs(2),
        recorders: vec![],
    };
    let threads = std::thread::available_parallelism().unwrap().get();
    let r = run(Setup {
        plan: Arc::new(plan),
        threads,
        cache_dir: Some("/tmp/squall-cache".into()),
        sinks: vec![],
        stop: tokio::sync::watch::channel(Stop::No).1,
        live: tokio::sync::watch::channel(Live::default()).0,
    });
    match r {
        Ok(o) => {
            let t = &o.summary.stats.total;
            println!("{:?} {:?} {:?}", o.exit_code, o.summary.reason, o.warnings);
            println!("{:#?}", t.iterations);
            for r in &t.requests {
                println!(
                    "{} {} n={} f={} rps={:.0} {:?} {:?} s={} r={}",
                    r.method,
                    r.name,
                    r.requests,
                    r.failures,
                    r.requests_per_s,
                    r.duration,
                    r.connecting,
                    r.sent_bytes,
                    r.received_bytes
                );
            }
            for f in &t.failures {
                println!(
                    "{:?} {} {} x{}\n{}",
                    f.origin,
                    f.name,
                    f.message,
                    f.occurrences,
                    f.stack.as_deref().unwrap_or("")
                );
            }
            println!("{:?}", t.checks);
        }
        Err(e) => println!("{e}"),
    }
}

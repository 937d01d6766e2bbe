//! A receiver of OTLP logs over HTTP, in its JSON encoding.

use std::sync::{Arc, Mutex};
use std::thread;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value};

/// A log record with the attributes of its resource.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) resource: Value,
    pub(crate) attributes: Value,
    pub(crate) body: Value,
    /// The record as it came.
    pub(crate) raw: Value,
}

/// A receiver on a port of its own. Its thread ends with the process.
pub(crate) struct Receiver {
    url: String,
    records: Arc<Mutex<Vec<Record>>>,
}

impl Receiver {
    /// Starts it; it takes connections by the time this returns.
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("the machine has what a runtime takes");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.set_nonblocking(true).expect("a socket can be");
        let address = listener.local_addr().expect("a bound socket has one");
        let records = Arc::default();
        let shared = Arc::clone(&records);
        thread::spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("as above");
                loop {
                    let (stream, _) = listener.accept().await.expect("the listener stays");
                    let records = Arc::clone(&shared);
                    tokio::spawn(async move {
                        let service = service_fn(|request| receive(request, &records));
                        // The collector may close a connection as it likes.
                        let _ = http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
            });
        });
        Self {
            url: format!("http://{address}"),
            records,
        }
    }

    /// What goes into `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What came so far.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.records.lock().expect("no holder panics").clone()
    }
}

async fn receive(
    request: Request<Incoming>,
    records: &Mutex<Vec<Record>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    assert_eq!(request.uri().path(), "/v1/logs");
    assert_eq!(request.headers()[CONTENT_TYPE], "application/json");
    let body = request.into_body().collect().await?.to_bytes();
    let export: Value = serde_json::from_slice(&body).expect("JSON, as the header says");
    records
        .lock()
        .expect("no holder panics")
        .extend(unpack(&export));
    let answer = Response::builder()
        .header(CONTENT_TYPE, "application/json")
        .body(Full::from("{}"));
    Ok(answer.expect("a valid header"))
}

/// All records of an `ExportLogsServiceRequest`.
fn unpack(export: &Value) -> Vec<Record> {
    let mut records = Vec::new();
    for resource in list(&export["resourceLogs"]) {
        for scope in list(&resource["scopeLogs"]) {
            for raw in list(&scope["logRecords"]) {
                records.push(Record {
                    resource: pairs(&resource["resource"]["attributes"]),
                    attributes: pairs(&raw["attributes"]),
                    body: plain(&raw["body"]),
                    raw: raw.clone(),
                });
            }
        }
    }
    records
}

/// What is left out is empty.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A list of `KeyValue` as an object.
fn pairs(list_of_pairs: &Value) -> Value {
    let pairs = list(list_of_pairs).iter().map(|pair| {
        let key = pair["key"].as_str().expect("a key is text");
        (key.to_owned(), plain(&pair["value"]))
    });
    pairs.collect::<Map<_, _>>().into()
}

/// An `AnyValue` as the JSON it stands for.
fn plain(value: &Value) -> Value {
    let Some((kind, value)) = value.as_object().and_then(|object| object.iter().next()) else {
        return Value::Null;
    };
    match kind.as_str() {
        "kvlistValue" => pairs(&value["values"]),
        "arrayValue" => list(&value["values"]).iter().map(plain).collect(),
        "stringValue" | "boolValue" => value.clone(),
        "doubleValue" => value.as_f64().expect("a number").into(),
        other => panic!("a `{other}` came from JSON: {value}"),
    }
}

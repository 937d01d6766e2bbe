//! What reaches the world by the language's standard library.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use crate::squall::script::{log, timing};
use crate::{holds, variable};

/// Logs the whole environment, which is what was granted.
pub fn environment() -> Result<(), String> {
    let mut names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    names.sort();
    log::write(
        log::Level::Info,
        &format!("environment: {}", names.join(",")),
    );
    let arguments = std::env::args().count();
    log::write(log::Level::Info, &format!("arguments: {arguments}"));
    let granted = variable("GRANTED")?;
    holds(
        "it is the value that was granted",
        granted == "a value = with, signs",
    )
}

/// No files and no sockets: an error, not a trap.
pub fn nothing_granted() -> Result<(), String> {
    holds("no folder can be read", fs::read_dir("/").is_err())?;
    holds("no file can be read", fs::read("/etc/hostname").is_err())?;
    holds(
        "no file can be made",
        fs::write("made-by-a-guest", "x").is_err(),
    )?;
    holds(
        "no connection can be made",
        TcpStream::connect(("127.0.0.1", 80)).is_err(),
    )?;
    holds(
        "no name can be looked up",
        TcpStream::connect(("localhost", 80)).is_err(),
    )?;
    holds(
        "nobody can listen",
        TcpListener::bind(("127.0.0.1", 0)).is_err(),
    )?;
    let sent = UdpSocket::bind(("127.0.0.1", 0)).and_then(|it| it.send_to(b"x", ("127.0.0.1", 9)));
    holds("no datagram can be sent", sent.is_err())?;
    let read = std::io::stdin().read(&mut [0]);
    holds("there is no input", !matches!(read, Ok(1..)))
}

pub fn clocks() -> Result<(), String> {
    let (start, start_ms) = (Instant::now(), timing::now_ms());
    std::thread::sleep(Duration::from_millis(20));
    let (took, took_ms) = (start.elapsed(), timing::now_ms() - start_ms);
    holds(
        &format!("{took:?} is about 20 ms"),
        took >= Duration::from_millis(19),
    )?;
    holds(
        "the host thinks so, too",
        (took.as_secs_f64() * 1e3 - took_ms).abs() < 500.0,
    )?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now_ms = now.map_err(|error| error.to_string())?.as_secs_f64() * 1e3;
    holds(
        "both know the time",
        (now_ms - timing::wall_clock_ms()).abs() < 2_000.0,
    )
}

/// Logs what WASI's source gives, to be compared between VUs and runs.
pub fn random() -> Result<(), String> {
    let hash = RandomState::new().hash_one(1);
    log::write(log::Level::Info, &format!("wasi-random: {hash}"));
    Ok(())
}

pub fn print() -> Result<(), String> {
    println!("print: to stdout");
    eprintln!("print: to stderr");
    println!("print: two\nprint: lines");
    print!("print: in ");
    println!("pieces");
    print!("print: without an end");
    use std::io::Write;
    std::io::stdout().flush().map_err(|error| error.to_string())
}

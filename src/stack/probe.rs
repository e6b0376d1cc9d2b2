//! Readiness, asked of each server in its own protocol: an open port is not yet a server.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::server::Server;

const TIMEOUT: Duration = Duration::from_secs(1);
/// The version of the Postgres wire protocol, 3.0.
const PROTOCOL: u32 = 0x0003_0000;

/// Does the server answer?
pub(super) fn is_ready(server: Server, port: u16) -> bool {
    let answer = match server {
        Server::Nats => nats(port),
        Server::Postgres => postgres(port),
        Server::ClickHouse => clickhouse(port),
    };
    answer.unwrap_or(false)
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// NATS greets with its description, in which `JetStream` must be on.
fn nats(port: u16) -> io::Result<bool> {
    let mut stream = connect(port)?;
    let greeting = read_until(&mut stream, |bytes| bytes.contains(&b'\n'))?;
    let text = String::from_utf8_lossy(&greeting);
    Ok(text.starts_with("INFO ") && text.contains("\"jetstream\":true"))
}

/// A session that gets as far as "ready for query": recovery is over and the role exists.
fn postgres(port: u16) -> io::Result<bool> {
    const READY: &[u8] = b"Z\0\0\0\x05I";
    let parameters = b"user\0upline\0database\0postgres\0\0";
    let length = u32::try_from(parameters.len().saturating_add(8)).map_err(io::Error::other)?;
    let mut startup = length.to_be_bytes().to_vec();
    startup.extend_from_slice(&PROTOCOL.to_be_bytes());
    startup.extend_from_slice(parameters);

    let mut stream = connect(port)?;
    stream.write_all(&startup)?;
    let answer =
        read_until(&mut stream, |bytes| bytes.ends_with(READY) || bytes.starts_with(b"E"))?;
    let ready = answer.ends_with(READY);
    if ready {
        // Without a farewell the server would log a lost connection.
        stream.write_all(b"X\0\0\0\x04")?;
    }
    Ok(ready)
}

/// A query over HTTP, and not only a ping: the tables are loaded.
fn clickhouse(port: u16) -> io::Result<bool> {
    let mut stream = connect(port)?;
    stream.write_all(
        b"GET /?query=SELECT%201 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    )?;
    let answer = read_until(&mut stream, |bytes| bytes.contains(&b'\n'))?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}

/// Reads until the condition holds or the server closes; at most 64 KiB.
fn read_until(stream: &mut TcpStream, mut done: impl FnMut(&[u8]) -> bool) -> io::Result<Vec<u8>> {
    const MOST: usize = 64 * 1024;
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while bytes.len() < MOST && !done(&bytes) {
        match stream.read(&mut chunk)? {
            0 => break,
            read => bytes.extend_from_slice(chunk.get(..read).unwrap_or_default()),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// Answers one connection with the given bytes, after it has read something if it is to.
    fn answering(answer: &'static [u8], reads_first: bool) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            if reads_first {
                assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            }
            stream.write_all(answer).unwrap();
        });
        port
    }

    #[test]
    fn each_server_is_ready_only_by_its_own_answer() {
        let cases: [(Server, &'static [u8], bool); 6] = [
            (Server::Nats, b"INFO {\"jetstream\":true}\r\n", true),
            (Server::Nats, b"INFO {}\r\n", false),
            (Server::Postgres, b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I", true),
            (Server::Postgres, b"E\0\0\0\x05starting up", false),
            (Server::ClickHouse, b"HTTP/1.1 200 OK\r\n\r\n1\n", true),
            (Server::ClickHouse, b"HTTP/1.1 500 Oops\r\n\r\n", false),
        ];
        for (server, answer, expected) in cases {
            let port = answering(answer, server != Server::Nats);
            assert_eq!(is_ready(server, port), expected, "{server} {answer:?}");
        }
    }

    #[test]
    fn nobody_there_is_not_ready() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        for server in Server::ALL {
            assert!(!is_ready(server, port));
        }
    }
}

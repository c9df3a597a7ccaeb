//! A tiny blocking HTTP/1.1 client over TCP. By hand: the tests send what no HTTP library lets one
//! send (HTTP/1.0 without Host, odd escapes, half requests), and must see the answer's exact bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::error::{Context, Error, Result, fail};

const LIMIT: usize = 4 << 20;

/// An `http://host:port/path` address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Host and port as they stand in the URL.
    pub authority: String,
    /// The path, with its leading slash.
    pub path: String,
}

impl Url {
    /// Reads a URL; only plain HTTP is spoken here.
    pub fn parse(url: &str) -> Result<Self> {
        let Some(rest) = url.strip_prefix("http://") else {
            return fail(format!("{url}: this client speaks http:// only"));
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Self { authority: authority.to_owned(), path: format!("/{path}") })
    }

    /// The same server with another path.
    pub fn with_path(&self, path: &str) -> Self {
        Self { authority: self.authority.clone(), path: path.to_owned() }
    }

    /// `host:port`, with port 80 where the URL has none.
    pub fn address(&self) -> String {
        let host_end = self.authority.rfind(']').unwrap_or(0);
        match self.authority[host_end..].contains(':') {
            true => self.authority.clone(),
            false => format!("{}:80", self.authority),
        }
    }
}

/// A request with the knobs of a strange client.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query as they go on the request line.
    pub target: String,
    /// `1.1` or `1.0`.
    pub version: &'static str,
    /// Whether a Host field is sent.
    pub host: bool,
    /// More header fields.
    pub headers: Vec<(String, String)>,
    /// The body; Content-Length follows from it.
    pub body: Option<Vec<u8>>,
}

impl Request {
    /// A GET.
    pub fn get(target: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            target: target.to_owned(),
            version: "1.1",
            host: true,
            headers: Vec::new(),
            body: None,
        }
    }

    /// A POST of `body` without Content-Type.
    pub fn post(target: &str, body: Vec<u8>) -> Self {
        Self { method: "POST".to_owned(), body: Some(body), ..Self::get(target) }
    }

    /// Adds a header field.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The bytes on the wire.
    pub fn bytes(&self, authority: &str) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/{}\r\n", self.method, self.target, self.version);
        if self.host {
            out += &format!("Host: {authority}\r\n");
        }
        for (name, value) in &self.headers {
            out += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = &self.body {
            out += &format!("Content-Length: {}\r\n", body.len());
        }
        out += "\r\n";
        let mut out = out.into_bytes();
        out.extend(self.body.as_deref().unwrap_or_default());
        out
    }
}

/// A response, header names in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header fields in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header field with `name` (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The body as text, for messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One TCP connection that can carry several requests.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    authority: String,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects; each read and write may take `timeout`.
    pub fn open(url: &Url, timeout: Duration) -> Result<Self> {
        let address = url.address();
        let mut addresses = address.to_socket_addrs().context(&address)?;
        let Some(first) = addresses.next() else { return fail(format!("{address}: no address")) };
        let stream = TcpStream::connect_timeout(&first, timeout).context(&address)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, authority: url.authority.clone(), buffer: Vec::new() })
    }

    /// Sends a request and reads the answer.
    pub fn send(&mut self, request: &Request) -> Result<Response> {
        let bytes = request.bytes(&self.authority);
        self.send_raw(&bytes, request.method == "HEAD")
    }

    /// Sends bytes and reads one answer, if the bytes deserve one. A server may answer and close
    /// before it has read everything, so a failed write is not yet an error.
    pub fn send_raw(&mut self, bytes: &[u8], head: bool) -> Result<Response> {
        let written = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
        match (self.read_response(head), written) {
            (Ok(response), _) => Ok(response),
            (Err(e), Ok(())) => Err(e),
            (Err(e), Err(w)) => fail(format!("{e} (after {w})")),
        }
    }

    /// Sends bytes and nothing more, for half requests.
    pub fn send_half(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Says that nothing more comes, then reads one answer.
    pub fn finish(&mut self) -> Result<Response> {
        self.stream.shutdown(Shutdown::Write)?;
        self.read_response(false)
    }

    fn read_response(&mut self, head: bool) -> Result<Response> {
        let end = loop {
            match self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                Some(end) => break end,
                None if self.fill()? => {}
                None => return fail("the connection ended before an answer's header did"),
            }
        };
        let (status, headers) = parse_head(&self.buffer[..end])?;
        self.buffer.drain(..end + 4);
        let mut response = Response { status, headers, body: Vec::new() };
        if head || status == 204 || status == 304 {
            return Ok(response);
        }
        if let Some(length) = response.header("content-length") {
            let length: usize = length.parse().context("Content-Length")?;
            while self.buffer.len() < length {
                if !self.fill()? {
                    return fail("the connection ended before an answer's body did");
                }
            }
            response.body = self.buffer.drain(..length).collect();
        } else if response.header("transfer-encoding") == Some("chunked") {
            response.body = self.chunks()?;
        } else {
            while self.fill()? {}
            response.body = std::mem::take(&mut self.buffer);
        }
        Ok(response)
    }

    /// A chunked body (RFC 9112 section 7.1), as other servers send it.
    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n")?;
            let size = line.split(|b| *b == b';').next().unwrap_or_default();
            let size = std::str::from_utf8(size).context("a chunk's size")?.trim();
            let size = usize::from_str_radix(size, 16).context("a chunk's size")?;
            if size > LIMIT {
                return fail("a chunk of more than 4 MiB");
            }
            if size == 0 {
                // Trailer fields end with an empty line.
                while !self.until(b"\r\n")?.is_empty() {}
                return Ok(body);
            }
            while self.buffer.len() < size + 2 {
                if !self.fill()? {
                    return fail("the connection ended inside of a chunk");
                }
            }
            body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
        }
    }

    /// What comes before `end`, which is taken away with it.
    fn until(&mut self, end: &[u8]) -> Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|w| w == end) {
                let line = self.buffer.drain(..at).collect();
                self.buffer.drain(..end.len());
                return Ok(line);
            }
            if !self.fill()? {
                return fail("the connection ended inside of a chunked body");
            }
        }
    }

    fn fill(&mut self) -> Result<bool> {
        let mut chunk = [0; 16 << 10];
        let count = self.stream.read(&mut chunk).context("reading an answer")?;
        self.buffer.extend(&chunk[..count]);
        if self.buffer.len() > LIMIT {
            return fail("an answer of more than 4 MiB");
        }
        Ok(count > 0)
    }
}

/// Sends one request over a connection of its own.
pub fn send(url: &Url, request: &Request) -> Result<Response> {
    Connection::open(url, Duration::from_secs(30))?.send(request)
}

fn parse_head(head: &[u8]) -> Result<(u16, Vec<(String, String)>)> {
    let text = std::str::from_utf8(head).context("an answer's header")?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| Error::new(format!("not an HTTP/1 answer: {first:?}")))?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()))
        .collect();
    Ok((status, headers))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn two_answers_over_one_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/scep", listener.local_addr().unwrap())).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            let mut chunk = [0; 1024];
            let mut bodies = [
                "Content-Length: 2\r\nX-Y: z\r\n\r\nhi",
                "Transfer-Encoding: chunked\r\nX-Y: z\r\n\r\n1\r\nh\r\n1;x\r\ni\r\n0\r\n\r\n",
            ]
            .into_iter();
            while seen.windows(4).filter(|w| w == b"\r\n\r\n").count() < 2 {
                let count = stream.read(&mut chunk).unwrap();
                seen.extend(&chunk[..count]);
                let answer = format!("HTTP/1.1 200 OK\r\n{}", bodies.next().unwrap());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            String::from_utf8(seen).unwrap()
        });
        let mut connection = Connection::open(&url, Duration::from_secs(5)).unwrap();
        for _ in 0..2 {
            let answer = connection.send(&Request::get("/scep?operation=GetCACaps")).unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "hi"));
            assert_eq!(answer.header("x-y"), Some("z"));
        }
        let seen = server.join().unwrap();
        assert!(seen.starts_with("GET /scep?operation=GetCACaps HTTP/1.1\r\nHost: 127.0.0.1:"));
    }

    #[test]
    fn urls() {
        let url = Url::parse("http://[::1]:80/a/b").unwrap();
        assert_eq!((url.authority.as_str(), url.path.as_str()), ("[::1]:80", "/a/b"));
        assert_eq!(Url::parse("http://host").unwrap().address(), "host:80");
        assert!(Url::parse("https://host/").is_err());
    }
}

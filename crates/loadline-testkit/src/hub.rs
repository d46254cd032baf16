//! A model hub for tests, in this process: the part of the Hugging Face hub's protocol that fetches one file.
//!
//! `HEAD` and `GET /ORG/NAME/resolve/REVISION/FILE` redirect to a "content network" under another host name, which
//! serves ranges. It can cut answers short, ignore ranges and send other bytes than it promised.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// What goes wrong with one answer of the content network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HubFault {
    /// The connection ends after this many bytes of content.
    CutAfter(usize),
    /// The whole file with status 200, whatever range was asked for.
    IgnoreRange,
    /// This status instead.
    Status(u16),
    /// Content of the right size but with its first byte changed.
    WrongByte,
}

/// One request to the hub or its content network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HubRequest {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The `host` header, without its port.
    pub host: String,
    /// The `range` header.
    pub range: Option<String>,
    /// The `authorization` header.
    pub authorization: Option<String>,
}

/// A running hub. Its thread ends with the process.
pub struct FakeHub {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    port: u16,
    /// Path below the hub (`ORG/NAME/resolve/REVISION/FILE`) to content.
    files: HashMap<String, Vec<u8>>,
    /// ETags by the same paths.
    etags: HashMap<String, String>,
    faults: Mutex<std::vec::IntoIter<Option<HubFault>>>,
    seen: Mutex<Vec<HubRequest>>,
}

impl FakeHub {
    /// Starts a hub with one file and the faults of the first content requests, in order.
    ///
    /// # Panics
    /// When no socket is to be had.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its hub")]
    pub fn start(path: &str, content: &[u8], etag: &str, faults: Vec<Option<HubFault>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback socket");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared {
            port: address.port(),
            files: HashMap::from([(path.to_owned(), content.to_vec())]),
            etags: HashMap::from([(path.to_owned(), etag.to_owned())]),
            faults: Mutex::new(faults.into_iter()),
            seen: Mutex::default(),
        });
        let server = Arc::clone(&shared);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let server = Arc::clone(&server);
                // A client that went away is none of the hub's business.
                std::thread::spawn(move || server.serve(socket).ok());
            }
        });
        Self { address, shared }
    }

    /// What `HF_ENDPOINT` is set to.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<HubRequest> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    fn serve(&self, mut socket: TcpStream) -> std::io::Result<()> {
        let request = read(&socket)?;
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        let path = request.path.trim_start_matches('/').to_owned();
        let reply = match path.strip_prefix("cdn/") {
            Some(path) => self.content(path, &request),
            None => self.resolve(&path),
        };
        let (head, body, promised) = reply;
        write!(socket, "HTTP/1.1 {head}connection: close\r\ncontent-length: {promised}\r\n\r\n")?;
        if request.method != "HEAD" {
            socket.write_all(&body)?;
        }
        socket.flush()
    }

    /// The status line and headers, the body, and the length that is promised.
    fn resolve(&self, path: &str) -> (String, Vec<u8>, usize) {
        let Some(content) = self.files.get(path) else {
            return ("404 Not Found\r\nx-error-code: EntryNotFound\r\n".to_owned(), Vec::new(), 0);
        };
        let (size, etag) = (content.len(), &self.etags[path]);
        let head = format!(
            "302 Found\r\nlocation: http://localhost:{}/cdn/{path}\r\nx-repo-commit: {:040}\r\n\
             x-linked-size: {size}\r\nx-linked-etag: \"{etag}\"\r\netag: \"other\"\r\n",
            self.port, 7,
        );
        (head, Vec::new(), 0)
    }

    fn content(&self, path: &str, request: &HubRequest) -> (String, Vec<u8>, usize) {
        let content = &self.files[path];
        let fault = self.faults.lock().unwrap_or_else(PoisonError::into_inner).next().flatten();
        let from = request
            .range
            .as_deref()
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let from = from.filter(|_| fault != Some(HubFault::IgnoreRange)).unwrap_or(0_usize);
        if from > 0 && from >= content.len() {
            return ("416 Range Not Satisfiable\r\n".to_owned(), Vec::new(), 0);
        }
        let mut body = content[from..].to_vec();
        let promised = body.len();
        match fault {
            Some(HubFault::Status(status)) => return (format!("{status} Scripted\r\n"), Vec::new(), 0),
            Some(HubFault::CutAfter(bytes)) => body.truncate(bytes),
            Some(HubFault::WrongByte) => body[0] ^= 1,
            _ => {}
        }
        let head = match from {
            0 => "200 OK\r\n".to_owned(),
            _ => format!(
                "206 Partial Content\r\ncontent-range: bytes {from}-{}/{}\r\n",
                content.len() - 1,
                content.len()
            ),
        };
        (head, body, promised)
    }
}

fn read(socket: &TcpStream) -> std::io::Result<HubRequest> {
    let mut lines = BufReader::new(socket).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut words = first.split(' ').map(str::to_owned);
    let mut request = HubRequest {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        ..HubRequest::default()
    };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "host" => request.host = value.rsplit_once(':').map_or(value, |(host, _)| host).to_owned(),
            "range" => request.range = Some(value.to_owned()),
            "authorization" => request.authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    Ok(request)
}

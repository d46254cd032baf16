//! TLS in front of an endpoint: a certificate of its own, and bytes passed on both ways.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate that signed itself, and its key.
pub struct Pair {
    /// The certificate, as a client that trusts it takes it.
    pub der: CertificateDer<'static>,
    /// The certificate as a file.
    pub certificate_pem: String,
    /// The key as a file.
    pub key_pem: String,
    key: Vec<u8>,
}

#[expect(clippy::expect_used, reason = "a test cannot go on without its certificate")]
impl Pair {
    /// One for these names and addresses.
    pub fn new(names: &[&str]) -> Self {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let own = rcgen::generate_simple_self_signed(names).expect("a certificate");
        Self {
            der: own.cert.der().clone(),
            certificate_pem: own.cert.pem(),
            key_pem: own.signing_key.serialize_pem(),
            key: own.signing_key.serialize_der(),
        }
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.der.clone()], key)
            .expect("a certificate and its key");
        TlsAcceptor::from(Arc::new(config))
    }
}

/// TLS in front of an endpoint; it stops when dropped.
pub struct TlsFront {
    address: SocketAddr,
    said: Arc<AtomicU64>,
    _runtime: tokio::runtime::Runtime,
}

#[expect(clippy::expect_used, reason = "a test cannot go on without its endpoint")]
impl TlsFront {
    /// Listens on a free port of the loopback address, and passes on what it hears.
    pub fn start(pair: &Pair, behind: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a socket");
        let address = listener.local_addr().expect("a bound address");
        let (acceptor, said) = (pair.acceptor(), Arc::<AtomicU64>::default());
        let heard = Arc::clone(&said);
        runtime.spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                tokio::spawn(pass_on(acceptor.clone(), caller, behind, Arc::clone(&heard)));
            }
        });
        Self { address, said, _runtime: runtime }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Bytes that callers said behind the handshake.
    pub fn said_bytes(&self) -> u64 {
        self.said.load(Ordering::SeqCst)
    }
}

async fn pass_on(
    acceptor: TlsAcceptor,
    caller: tokio::net::TcpStream,
    behind: SocketAddr,
    said: Arc<AtomicU64>,
) -> std::io::Result<()> {
    caller.set_nodelay(true)?;
    let caller = acceptor.accept(caller).await?;
    let endpoint = tokio::net::TcpStream::connect(behind).await?;
    endpoint.set_nodelay(true)?;
    let (mut from_caller, mut to_caller) = tokio::io::split(caller);
    let (mut from_endpoint, mut to_endpoint) = endpoint.into_split();
    let back = async move {
        tokio::io::copy(&mut from_endpoint, &mut to_caller).await?;
        to_caller.shutdown().await
    };
    let forth = async move {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let count = from_caller.read(&mut buffer).await?;
            if count == 0 {
                return to_endpoint.shutdown().await;
            }
            said.fetch_add(count as u64, Ordering::SeqCst);
            to_endpoint.write_all(&buffer[..count]).await?;
        }
    };
    // When either side leaves, so does the other.
    tokio::select! {
        ended = back => ended,
        ended = forth => ended,
    }
}

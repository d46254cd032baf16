//! TLS: a trusted server is talked to, any other is not told a word.

use std::sync::Arc;

use loadline_core::ModelErrorKind;
use loadline_model::{Environment, Secure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::{ask, call, model_at, run};

/// Serves one answer over TLS for `localhost`; gives the port and the certificate.
async fn server() -> (u16, String) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            // A client that does not trust the certificate ends here.
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let count = stream.read(&mut [0; 4096]).await.unwrap();
            assert!(count > 0);
            let body = r#"{"choices": [{"message": {"content": "in private"}, "finish_reason": "stop"}]}"#;
            let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
    });
    (port, own.cert.pem())
}

#[test]
fn only_a_server_with_a_trusted_certificate_is_talked_to() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    let path = file.to_str().unwrap();
    run(async {
        let (port, certificate) = server().await;
        std::fs::write(&file, certificate).unwrap();
        let trusting = Environment::of([("SSL_CERT_FILE", path), ("OPENAI_API_KEY", "sk-1")]);
        let model = model_at("openai/m", &format!("https://localhost:{port}/v1"), &[], &trusting);
        assert_eq!(call(&*model, &ask("q")).await.unwrap().completion, "in private");
        // The certificate is for another name.
        let model = model_at("openai/m", &format!("https://127.0.0.1:{port}/v1"), &[], &trusting);
        let error = call(&*model, &ask("q")).await.unwrap_err();
        assert!(
            error.kind == ModelErrorKind::Unauthorized && error.message.contains("certificate"),
            "{error}"
        );
        // The certificate is another server's.
        let (other, _) = server().await;
        let model = model_at("openai/m", &format!("https://localhost:{other}/v1"), &[], &trusting);
        let error = call(&*model, &ask("q")).await.unwrap_err();
        assert!(error.is_fatal() && error.hint.unwrap().contains("SSL_CERT_FILE"), "{}", error.message);
    });
}

#[test]
fn a_connection_that_others_speak_over_is_as_careful() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    let environment = Environment::of([("SSL_CERT_FILE", file.to_str().unwrap())]);
    run(async {
        let (port, certificate) = server().await;
        std::fs::write(&file, certificate).unwrap();
        let secure = Secure::new(environment);
        assert!(secure.connect(&format!("localhost:{port}")).await.is_ok());
        let (other, _) = server().await;
        for (authority, why) in [
            (format!("127.0.0.1:{port}"), "not valid for name"),
            (format!("localhost:{other}"), "invalid peer certificate"),
        ] {
            let error = secure.connect(&authority).await.err().unwrap();
            assert!(error.message.contains("certificate") && error.message.contains(why), "{error}");
            assert!(error.hint.unwrap().contains("SSL_CERT_FILE"));
        }
        let error = secure.connect("localhost:1").await.err().unwrap();
        assert!(error.hint.unwrap().contains("host and port"), "{}", error.message);
    });
    let nobody = Secure::new(Environment::of([("SSL_CERT_FILE", "/nonexistent/authorities.pem")]));
    let error = run(async { nobody.connect("localhost:1").await.err().unwrap() });
    assert!(error.message.contains("no certificate authorities"), "{error}");
}

#[test]
fn without_any_authority_nothing_is_opened() {
    let args =
        loadline_model::ModelArgs { base_url: Some("https://localhost/v1".to_owned()), pairs: Vec::new() };
    let environment = Environment::of([("SSL_CERT_FILE", "/nonexistent/authorities.pem")]);
    let error = loadline_model::open_in(&"openai/m".parse().unwrap(), &args, &environment).err().unwrap();
    assert!(error.message.contains("no certificate authorities") && error.hint.is_some(), "{error}");
}

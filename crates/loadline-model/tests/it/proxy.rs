//! Proxies from the environment.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use loadline_core::ModelErrorKind;
use loadline_model::Environment;

use crate::{ask, call, model_at, run};

/// A proxy that notes the head of each request and answers forwarded ones itself; a tunnel it refuses with 403.
fn proxy() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heads);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            serve(socket.unwrap(), &noted);
        }
    });
    (address, heads)
}

fn serve(mut socket: TcpStream, heads: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
        if line.trim().is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    heads.lock().unwrap().push(head.clone());
    let body = r#"{"choices": [{"message": {"content": "by proxy"}, "finish_reason": "stop"}]}"#;
    let reply = match head.starts_with("CONNECT ") {
        true => "HTTP/1.1 403 Forbidden\r\n\r\n".to_owned(),
        false => {
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        }
    };
    socket.write_all(reply.as_bytes()).unwrap();
}

#[test]
fn a_plain_request_is_forwarded_whole_with_the_proxys_password() {
    let (address, heads) = proxy();
    let url = format!("http://me:sesame@{address}");
    let environment = Environment::of([("http_proxy", url.as_str())]);
    let model = model_at("openai/m", "http://models.invalid:8000/v1", &[], &environment);
    assert_eq!(run(call(&*model, &ask("q"))).unwrap().completion, "by proxy");
    let head = heads.lock().unwrap()[0].to_lowercase();
    assert!(head.starts_with("post http://models.invalid:8000/v1/chat/completions http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nhost: models.invalid:8000\r\n"), "{head}");
    // base64 of me:sesame, in lower case like the rest of the head
    assert!(head.contains("\r\nproxy-authorization: basic bwu6c2vzyw1l\r\n"), "{head}");
}

#[test]
fn https_goes_through_a_tunnel_and_a_refused_one_is_named() {
    let (address, heads) = proxy();
    let url = format!("http://me:sesame@{address}");
    let environment = Environment::of([("HTTPS_PROXY", url.as_str()), ("OPENAI_API_KEY", "sk-secret")]);
    let model = model_at("openai/m", "https://models.invalid/v1", &[], &environment);
    let error = run(call(&*model, &ask("q"))).unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Connection, "{error}");
    assert!(error.message.contains("tunnel") && !error.message.contains("sesame"), "{error}");
    let head = heads.lock().unwrap()[0].clone();
    assert!(head.starts_with("CONNECT models.invalid:443 HTTP/1.1\r\n"), "{head}");
    assert!(!head.contains("sk-secret"), "{head}");
}

#[test]
fn this_machine_is_reached_without_a_proxy() {
    let endpoint = loadline_testkit::endpoint::FakeEndpoint::start();
    let environment =
        Environment::of([("ALL_PROXY", "http://127.0.0.1:1"), ("HTTP_PROXY", "http://127.0.0.1:1")]);
    let model = model_at("openai/m", &endpoint.base_url(), &[], &environment);
    assert_eq!(run(call(&*model, &ask("q"))).unwrap().completion, "The answer is 42.");
}

//! What OpenAI-compatible endpoints send: whole answers and streams of events. The reading of these bytes is private to
//! the crate that speaks HTTP, so its two files are compiled into this target.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// Largest input, in bytes.
const MOST: usize = 64 << 10;

#[path = "../../crates/loadline-model/src/sse.rs"]
mod sse;

#[expect(dead_code, reason = "only what the target asks for is used")]
#[path = "../../crates/loadline-model/src/openai/reply.rs"]
mod reply;

/// A whole answer.
fn whole(body: &[u8]) {
    let Ok(reply) = serde_json::from_slice::<reply::Reply>(body) else { return };
    for choice in reply.choices {
        let mut writing = reply::Writing::default();
        writing.add(choice.message, choice.text, choice.finish_reason);
        let stops = ["\n".to_owned(), "é".to_owned()];
        let completion = writing.finish(&stops).completion;
        assert!(!stops.iter().any(|stop| completion.contains(stop.as_str())), "a stop text was left in");
    }
}

/// One piece of a stream.
fn chunk(data: &str) {
    let Ok(chunk) = serde_json::from_str::<reply::Chunk>(data) else { return };
    let mut writing = reply::Writing::default();
    writing.used(chunk.usage);
    for choice in chunk.choices.into_iter().flatten() {
        writing.add(choice.delta, choice.text, choice.finish_reason);
    }
    let _ = writing.finish(&[]);
}

fn events(bytes: &[u8], piece: usize) -> Vec<(String, String)> {
    let (mut parser, mut found) = (sse::Parser::default(), Vec::new());
    for piece in bytes.chunks(piece) {
        let taken: Result<(), ()> = parser.feed(piece, |event| {
            found.push((event.name, event.data));
            Ok(())
        });
        assert!(taken.is_ok());
    }
    found
}

fuzz_target!(|data: &[u8]| {
    let Some((selector, data)) = loadline_fuzz::selected(data, MOST) else { return };
    if selector == 0 {
        return whole(data);
    }
    let found = events(data, usize::from(selector));
    assert_eq!(found, events(data, data.len().max(1)), "how a stream is cut changes its events");
    for (_, data) in found {
        chunk(&data);
    }
});

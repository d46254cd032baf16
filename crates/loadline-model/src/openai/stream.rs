//! A streamed answer of chat completions or completions.

use hyper::body::Incoming;
use loadline_core::model::ModelOutput;
use loadline_core::{ModelError, ModelErrorKind};

use super::OpenAi;
use super::reply::{Chunk, Writing};
use crate::sse::Parser;

impl OpenAi {
    /// Reads a stream to its end. One that ends before it says why the model stopped is cut short.
    pub(super) async fn streamed(
        &self,
        mut body: Incoming,
        stops: &[String],
    ) -> Result<ModelOutput, ModelError> {
        let transport = &self.transport;
        let (mut parser, mut writing, mut done, mut room) =
            (Parser::default(), Writing::default(), false, transport.room());
        while !done {
            let Some(piece) = transport.piece(&mut body, &mut room).await? else { break };
            parser.feed(&piece, |event| {
                // What comes behind the end says nothing.
                if done || event.data.trim() == "[DONE]" {
                    done = true;
                    return Ok(());
                }
                if event.name == "error" {
                    return Err(transport.foreign(event.data.as_bytes(), &"an error event"));
                }
                let chunk: Chunk = transport.parse(event.data.as_bytes())?;
                if chunk.error.is_some_and(|error| !error.is_null()) {
                    return Err(transport.foreign(event.data.as_bytes(), &"an error event"));
                }
                writing.used(chunk.usage);
                for choice in chunk.choices.into_iter().flatten().filter(|choice| choice.index == 0) {
                    writing.add(choice.delta, choice.text, choice.finish_reason);
                }
                Ok(())
            })?;
        }
        if writing.finish.is_none() {
            let message = format!("the stream of {} ended before the answer did", transport.base());
            return Err(transport.error(ModelErrorKind::Malformed, &message));
        }
        transport.answered();
        Ok(writing.finish(stops))
    }
}

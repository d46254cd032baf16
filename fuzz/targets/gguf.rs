//! GGUF files: header, metadata, tensor directory, configuration, tokenizer. Selector odd: a text behind the file is
//! put through the tokenizer that it describes, or a chat template is read and rendered.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loadline_core::model::{Message, Role};
use loadline_local::chat::ChatTemplate;
use loadline_local::decoder::Config;
use loadline_local::gguf::Gguf;
use loadline_local::tokenizer::{ControlTokens, Tokenizer};

/// Largest input, in bytes.
const MOST: usize = 64 << 10;
const TEXT: &str = "Hello, wörld!  12345 <s></s> def f(x):\n\treturn x\u{2581}\u{1f600}\r\n";

fn template(source: &[u8]) {
    let Ok(source) = std::str::from_utf8(source) else { return };
    let Ok(template) = ChatTemplate::new(source, "<s>", "</s>") else { return };
    let message = |role, content: &str| Message { role, content: content.to_owned() };
    let _ = template.render(&[message(Role::System, "Be brief."), message(Role::User, TEXT)]);
}

fn file(data: &[u8]) {
    let path = loadline_fuzz::scratch().join("model.gguf");
    std::fs::write(&path, data).expect("the file is written");
    let Ok(mut file) = Gguf::open(&path) else { return };
    let _ = Config::from_gguf(&file);
    let Ok(tokenizer) = Tokenizer::from_metadata(&mut file.metadata) else { return };
    for control in [ControlTokens::AsText, ControlTokens::Parsed] {
        let ids = tokenizer.encode_sequence(TEXT, control);
        let _ = tokenizer.decode(&ids);
    }
    let _ = (tokenizer.prefix(), tokenizer.token_text(u32::MAX), tokenizer.token_bytes(u32::MAX));
}

fuzz_target!(|data: &[u8]| {
    let Some((selector, data)) = loadline_fuzz::selected(data, MOST) else { return };
    if selector % 4 == 1 { template(data) } else { file(data) }
});

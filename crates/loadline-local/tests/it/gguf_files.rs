//! Files that are cut short, damaged or of another kind: each an error that says what and where.

use loadline_core::ModelRef;
use loadline_local::gguf::{Gguf, Metadata};
use loadline_local::{LocalError, LocalModel, LocalOptions};

use loadline_testkit::gguf::{Family, Meta, Shape, Tiny, model};

use crate::tiny::TinyFile;

fn open(bytes: &[u8]) -> LocalError {
    let file = TinyFile::new(bytes);
    let reference: ModelRef = "gguf/tiny.gguf".parse().unwrap();
    LocalModel::open(reference, &file.path, &LocalOptions::default(), None).unwrap_err()
}

fn good() -> Tiny {
    model(&Shape::of(Family::Llama))
}

#[test]
fn a_file_cut_short_anywhere_is_an_error_and_never_a_panic() {
    let bytes = good().bytes();
    let whole = bytes.len();
    let step = 97;
    for length in (0..whole).step_by(step).chain([whole - 1]) {
        let error = open(&bytes[..length]);
        match &error {
            LocalError::CutShort { expected, found, .. } => {
                assert_eq!(*found, length as u64);
                assert!(*expected > *found && *expected <= whole as u64);
            }
            LocalError::NotGguf { .. } => assert!(length < 4, "{length}: {error}"),
            _ => panic!("{length}: {error}"),
        }
        assert!(error.hint().is_some());
    }
    let message = open(&bytes[..whole - 1]).to_string();
    assert!(message.ends_with(&format!("is cut short: {whole} bytes are expected, {} are there", whole - 1)));
}

#[test]
fn what_is_not_gguf_is_named() {
    let error = open(b"PK\x03\x04 a zip file");
    assert!(
        error.to_string().contains("is not a GGUF file: it begins with the bytes 50 4b 03 04"),
        "{error}"
    );
    assert!(open(b"").to_string().contains("it is empty"));
    let mut bytes = good().bytes();
    bytes[4] = 1;
    assert!(open(&bytes).to_string().contains("version 1"));
}

#[test]
fn a_file_or_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("none.gguf"), folder.path().to_owned()] {
        let error = Gguf::open(&path).unwrap_err();
        assert!(matches!(error, LocalError::Io { .. }));
        assert!(error.to_string().contains(&path.display().to_string()));
    }
}

#[test]
fn an_unknown_architecture_is_named_with_those_known() {
    let mut tiny = good();
    tiny.meta[0].1 = Meta::Text("mamba\u{1b}[2J".to_owned());
    let error = open(&tiny.bytes());
    assert!(error.to_string().contains("of the architecture `mamba"), "{error}");
    assert!(!error.to_string().contains('\u{1b}'));
    assert_eq!(error.hint().unwrap(), "known are llama, qwen2, qwen3, gemma3");
}

#[test]
fn an_unsupported_tensor_names_itself_and_its_type() {
    let mut tiny = good();
    tiny.tensors[3].2 = 23;
    let error = open(&tiny.bytes());
    let message = format!("the tensor `{}` is of the type IQ4_XS, which is not supported", tiny.tensors[3].0);
    assert!(error.to_string().contains(&message), "{error}");
    tiny.tensors[3].2 = 4711;
    assert!(open(&tiny.bytes()).to_string().contains("number 4711"));
}

#[test]
fn what_is_missing_or_of_another_shape_is_named() {
    let mut tiny = good();
    let at = tiny.tensors.iter().position(|tensor| tensor.0 == "blk.1.ffn_up.weight").unwrap();
    let removed = tiny.tensors.remove(at);
    assert!(open(&tiny.bytes()).to_string().contains("`blk.1.ffn_up.weight` is missing"));
    let rows = removed.1[1];
    tiny.tensors.push((removed.0, vec![removed.1[0], rows - 1], removed.2, removed.3));
    let message = open(&tiny.bytes()).to_string();
    assert!(message.contains(&format!("has {} rows", rows - 1)) && message.contains("expected"), "{message}");
    let without = |key: &str| {
        let mut tiny = good();
        tiny.meta.retain(|(name, _)| name != key);
        open(&tiny.bytes()).to_string()
    };
    assert!(without("llama.block_count").contains("`llama.block_count` is missing"));
    assert!(without("tokenizer.ggml.tokens").contains("`tokenizer.ggml.tokens` is missing"));
    assert!(without("tokenizer.ggml.model").contains("model `none` is not known"));
}

#[test]
fn variations_that_are_not_computed_are_refused() {
    let with = |key: &str, value| open(&good().meta(key, value).bytes()).to_string();
    assert!(with("llama.expert_count", Meta::Count(8)).contains("a mixture of 8 experts is not supported"));
    assert!(with("llama.rope.scaling.type", Meta::Text("yarn".to_owned())).contains("`yarn`"));
    assert!(with("llama.attention.value_length", Meta::Count(6)).contains("is not supported"));
    let broken = "{% for %}".to_owned();
    assert!(with("tokenizer.chat_template", Meta::Text(broken)).contains("the chat template cannot be used"));
}

#[test]
fn hostile_lengths_are_refused_without_allocating() {
    // Each claims far more than the file holds.
    let start = |entries: u64| {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3u32.to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        bytes.extend(entries.to_le_bytes());
        bytes
    };
    assert!(
        open(&start(u64::MAX)).to_string().contains("number of metadata entries is 18446744073709551615")
    );
    let mut key = start(1);
    key.extend(u64::MAX.to_le_bytes());
    assert!(open(&key).to_string().contains("length of a text"));
    for kind in [4u32, 6, 8] {
        let mut list = start(1);
        list.extend(1u64.to_le_bytes());
        list.extend(b"k");
        list.extend(9u32.to_le_bytes());
        list.extend(kind.to_le_bytes());
        list.extend((1u64 << 23).to_le_bytes());
        assert!(matches!(open(&list), LocalError::CutShort { .. }));
    }
    let mut huge = good();
    huge.tensors[0].1 = vec![1 << 62, 1 << 62];
    assert!(open(&huge.bytes()).to_string().contains("values"));
}

#[test]
fn changed_bytes_in_the_header_never_panic() {
    let bytes = good().bytes();
    let header = bytes.len().min(6000);
    for at in (4..header).step_by(7) {
        for change in [0xffu8, 0x01, 0x80] {
            let mut bytes = bytes.clone();
            bytes[at] ^= change;
            let file = TinyFile::new(&bytes);
            // Some changes leave a valid file; what counts is that none is a panic.
            let _ =
                Gguf::open(&file.path).map(|file| file.metadata.text("general.architecture").map(str::len));
        }
    }
}

#[test]
fn metadata_of_every_sort_is_read() {
    let tiny = Tiny::default()
        .meta("count", Meta::Count(7))
        .meta("float", Meta::Float(0.5))
        .meta("bool", Meta::Bool(true))
        .meta("texts", Meta::Texts(vec!["a".to_owned(), String::new(), "שלום".to_owned()]));
    let file = TinyFile::new(&tiny.bytes());
    let mut metadata: Metadata = Gguf::open(&file.path).unwrap().metadata;
    assert_eq!(
        (metadata.count("count"), metadata.float("float"), metadata.bool("bool")),
        (Some(7), Some(0.5), Some(true))
    );
    assert_eq!(metadata.count("float"), None);
    let texts = metadata.take_texts("texts").unwrap();
    assert_eq!(texts.iter().collect::<Vec<_>>(), ["a", "", "שלום"]);
    assert_eq!(texts.get(3), None);
}

//! What each target starts from: golden files behind the byte that selects their reader.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::root;

/// Golden files of the targets that take one file: target, selector, path below `crates`.
const FILES: [(&str, u8, &str); 29] = [
    ("bundle", 0, "loadline-exam/tests/golden/small.bundle"),
    ("bundle", 0, "loadline-exam/tests/golden/witnessed.bundle"),
    ("trust", 0, "loadline-trust/tests/golden/envelope.json"),
    ("trust", 0, "loadline-trust/tests/golden/root-1.json"),
    ("trust", 0, "loadline-trust/tests/golden/standing.json"),
    ("trust", 1, "loadline-trust/tests/golden/root-1.json"),
    ("trust", 1, "loadline-trust/tests/golden/root-2.json"),
    ("trust", 2, "loadline-trust/tests/golden/root-1.payload.json"),
    ("trust", 3, "loadline-trust/tests/golden/examiner.pub.json"),
    ("trust", 7, "loadline-trust/tests/golden/secret-key.txt"),
    ("log", 0, "loadline-tlog/tests/golden/v1/checkpoint"),
    ("log", 1, "loadline-tlog/tests/golden/v1/entry-77.tlog-proof"),
    ("log", 2, "loadline-tlog/tests/golden/v1/add-checkpoint"),
    ("log", 3, "loadline-tlog/tests/golden/v1/policy"),
    ("policy", 0, "loadline-policy/policies/starter.toml"),
    ("policy", 0, "loadline-policy/policies/frontier.toml"),
    ("policy", 0, "loadline-policy/policies/open-weights.toml"),
    ("policy", 1, "loadline-policy/tests/golden/compute.toml"),
    ("policy", 2, "loadline-policy/rules/eu-ai-act-1e25.toml"),
    ("policy", 2, "loadline-policy/rules/south-korea.toml"),
    ("policy", 2, "loadline-policy/rules/california-sb-53.toml"),
    ("policy", 2, "loadline-policy/rules/illinois-sb-315.toml"),
    ("policy", 3, "loadline-policy/tests/golden/policy-starter.json"),
    ("policy", 4, "loadline-policy/tests/golden/compute.json"),
    ("policy", 6, "loadline-policy/tests/golden/license.json"),
    ("record", 0, RECORD),
    ("scores", 0, "loadline-measure/tests/golden/v1/export.csv"),
    ("scores", 1, "loadline-measure/tests/golden/v1/export.jsonl"),
    ("task", b't', "loadline-measure/tests/fixtures/tasks/_group.yaml"),
];
const RECORD: &str = "loadline-evidence/tests/golden/v1/a5968a0cf9278a7bceea6e983b6f1302/log";
/// Bytes of a record's frame before its payload.
const FRAME_HEADER: usize = 28;

/// Short inputs: target, selector, the rest.
const TEXTS: [(&str, u8, &[u8]); 20] = [
    ("bundle", 1, b"\x01\x00\x00\x10\x01x"),
    ("bundle", 1, b"\x03\x07\x00\x00\x00"),
    ("trust", 6, b"2026-11-01T00:00:00Z"),
    ("trust", 6, b"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("log", 5, b"tile/entries/000.p/2\0\0\x01a\0\0"),
    ("log", 5, b"tile/0/x001/x234/067.p/1\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    ("log", 6, b"\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x07aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"),
    ("log", 4, b"77\n"),
    ("policy", 7, b"1.25e26"),
    ("reply", 0, br#"{"choices":[{"index":0,"message":{"role":"assistant","content":"a\nb"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#),
    ("reply", 0, br#"{"choices":[{"text":"x","logprobs":{"tokens":["a"],"token_logprobs":[null],"top_logprobs":[{"a":-0.5}],"text_offset":[0]}}]}"#),
    ("reply", 3, b"event: x\r\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}}]}\r\n\r\ndata: [DONE]\n\n"),
    ("scores", 0, b"id,score,cluster,epoch\na,1,x,1\na,0,x,2\nb,true,\"y,\"\"z\",1\n"),
    ("scores", 1, b"{\"id\":\"a\",\"score\":1}\n{\"id\":\"b\",\"score\":null,\"cluster\":\"c\"}\n"),
    ("scores", 2, b"\xef\xbb\xbfid;score\na;1\n"),
    ("gguf", 1, b"{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m.content | trim }} [/INST]{% else %}{{ m.content.split(' ')[0] }}{% endif %}{% endfor %}{% if add_generation_prompt %}A:{% endif %}"),
    ("suites", 0, b"\x00\x00The answer is $\\boxed{1,234}$. Answer: **-42**"),
    ("suites", 3, b"\x10\x00{\"a\": [1, 2.50]}\n```python\nx = 84/2\n```"),
    ("suites", 6, b"\x20\x001. e4 e5 2. Nf3 O-O e8=Q# A is a knight and B is a knave. Confidence: 90%"),
    ("suites", 4, b"\x20\x03Answer: "),
];

/// Writes the seeds of a target and says how many there are.
pub fn write(target: &str, folder: &Path) -> Result<usize, String> {
    let mut seeds = Vec::new();
    for (_, selector, path) in FILES.iter().filter(|(of, ..)| *of == target) {
        seeds.push([&[*selector][..], &read(&crates().join(path))?].concat());
    }
    for (_, selector, rest) in TEXTS.iter().filter(|(of, ..)| *of == target) {
        seeds.push([&[*selector], *rest].concat());
    }
    match target {
        "task" => seeds.extend(tasks()?),
        "record" => seeds.extend(records()?),
        "gguf" => seeds.extend([gguf("llama"), gguf("gpt2")]),
        "suites" => seeds.extend((0..32).map(|suite| vec![suite, 0x11, 3])),
        _ => {}
    }
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for (number, seed) in seeds.iter().enumerate() {
        let path = folder.join(format!("seed-{number:02}"));
        fs::write(&path, seed).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(seeds.len())
}

fn crates() -> PathBuf {
    root().join("crates")
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Each fixture with its data behind it, which it finds under the name that the target gives it.
fn tasks() -> Result<Vec<Vec<u8>>, String> {
    let folder = crates().join("loadline-measure/tests/fixtures/tasks");
    let listed = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let mut seeds = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "yaml")) {
        let mut text = String::from_utf8_lossy(&read(path)?).into_owned();
        let data = folder.join("data");
        let named = [
            "choices.jsonl",
            "dev.json",
            "facts.jsonl",
            "lambada.jsonl",
            "pages.jsonl",
            "sums-test.jsonl",
            "sums-train.jsonl",
            "table.csv",
        ];
        let mut rows = Vec::new();
        for name in named.into_iter().filter(|name| text.contains(name)).collect::<Vec<_>>() {
            rows = read(&data.join(name))?;
            let extension = name.split('.').next_back().unwrap_or_default();
            text = text.replace(&format!("data/{name}"), &format!("d.{extension}"));
        }
        seeds.push([text.as_bytes(), b"\0", &rows].concat());
    }
    Ok(seeds)
}

/// The golden record as the payloads of its frames, and behind its seal.
fn records() -> Result<Vec<Vec<u8>>, String> {
    let log = crates().join(RECORD);
    let bytes = read(&log)?;
    let seal = read(&log.with_file_name("seal.json"))?;
    let frames = bytes.split(|byte| *byte == b'\n').skip(1).filter(|line| line.len() > FRAME_HEADER);
    let payloads: Vec<Vec<u8>> = frames.map(|line| [&line[..1], &line[FRAME_HEADER..]].concat()).collect();
    let payloads = payloads.join(&b'\n');
    Ok(vec![
        [b"\x01", payloads.as_slice()].concat(),
        [b"\x02", seal.as_slice(), b"\0", &bytes].concat(),
        [b"\x03", seal.as_slice(), b"\0", &payloads].concat(),
    ])
}

/// A GGUF file with a vocabulary of a few tokens and one tensor.
fn gguf(model: &str) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let mut pairs: Vec<Vec<u8>> = Vec::new();
    let mut pair = |key: &str, kind: u32, value: Vec<u8>| {
        pairs.push([text(key), kind.to_le_bytes().to_vec(), value].concat());
    };
    let list = |kind: u32, items: &[Vec<u8>]| {
        [&kind.to_le_bytes()[..], &(items.len() as u64).to_le_bytes(), &items.concat()].concat()
    };
    let tokens = ["<unk>", "<s>", "</s>", "<0x41>", "\u{2581}", "l", "o", "lo", "H", "e", "He"];
    let kinds: [i32; 11] = [2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 1];
    pair("general.architecture", 8, text("llama"));
    for (key, value) in [
        ("embedding_length", 32_u32),
        ("block_count", 1),
        ("attention.head_count", 2),
        ("feed_forward_length", 32),
        ("context_length", 64),
    ] {
        pair(&format!("llama.{key}"), 4, value.to_le_bytes().to_vec());
    }
    pair("llama.attention.layer_norm_rms_epsilon", 6, 1e-5_f32.to_le_bytes().to_vec());
    pair("tokenizer.ggml.model", 8, text(model));
    pair("tokenizer.ggml.pre", 8, text("llama-bpe"));
    pair("tokenizer.ggml.tokens", 9, list(8, &tokens.map(text)));
    pair("tokenizer.ggml.scores", 9, list(6, &[0.0_f32; 11].map(|score| score.to_le_bytes().to_vec())));
    pair("tokenizer.ggml.token_type", 9, list(5, &kinds.map(|kind| kind.to_le_bytes().to_vec())));
    pair("tokenizer.ggml.merges", 9, list(8, &["l o", "H e"].map(text)));
    pair("tokenizer.ggml.bos_token_id", 4, 1_u32.to_le_bytes().to_vec());
    pair("tokenizer.ggml.eos_token_id", 4, 2_u32.to_le_bytes().to_vec());
    let count = pairs.len() as u64;
    let tensor = [
        &text("token_embd.weight")[..],
        &2_u32.to_le_bytes(),
        &32_u64.to_le_bytes(),
        &11_u64.to_le_bytes(),
        &0_u32.to_le_bytes(),
        &0_u64.to_le_bytes(),
    ]
    .concat();
    // The selector, then the file.
    let mut file = [
        &b"\0GGUF"[..],
        &3_u32.to_le_bytes(),
        &1_u64.to_le_bytes(),
        &count.to_le_bytes(),
        &pairs.concat(),
        &tensor,
    ]
    .concat();
    file.resize((file.len() - 1).next_multiple_of(32) + 1 + 32 * 11 * 4, 0);
    file
}

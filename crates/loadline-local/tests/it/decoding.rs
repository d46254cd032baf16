//! The decoder on tiny models, against the plain computation in `network`.

use std::sync::atomic::{AtomicUsize, Ordering};

use loadline_local::decoder::{Batch, Hook, KvCache, NoHook, Rows, Site};
use loadline_local::score::{Tree, score_rolling, score_trees};
use loadline_local::{Engine, EngineError, LocalOptions, Precision};

use loadline_testkit::gguf::{Family, Shape, VOCABULARY, model};

use crate::network::{log_probability, logits};
use crate::tiny::TinyFile;

fn open(shape: &Shape, precision: Precision) -> Engine {
    let file = TinyFile::new(&model(shape).bytes());
    let options =
        LocalOptions { precision, threads: std::num::NonZeroUsize::new(2), ..LocalOptions::default() };
    Engine::open(&file.path, &options, None).unwrap().0
}

fn tokens(count: usize) -> Vec<u32> {
    (0..count as u32).map(|i| (i * i * 7 + i * 3 + 5) % VOCABULARY as u32).collect()
}

/// The logits after every token, read at once.
fn ours(engine: &Engine, tokens: &[u32]) -> Vec<Vec<f32>> {
    engine.install(|| {
        let mut cache = KvCache::new(engine.decoder().config());
        let mut batch = Batch::default();
        batch.push(tokens, 0, 0, Vec::new());
        let stream = engine.decoder().forward(&batch, &mut [&mut cache], &mut NoHook).unwrap();
        (0..tokens.len()).map(|row| engine.decoder().logits(&stream, row)).collect()
    })
}

fn largest_difference(ours: &[Vec<f32>], expect: &[Vec<f64>]) -> f64 {
    let pairs = ours.iter().flatten().zip(expect.iter().flatten());
    pairs.map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
}

fn every_shape() -> Vec<Shape> {
    let plain = [Family::Llama, Family::Qwen2, Family::Qwen3, Family::Gemma3].map(Shape::of);
    let mut shapes = plain.to_vec();
    shapes.push(Shape { window: Some(7), ..Shape::of(Family::Llama) });
    shapes.push(Shape { factors: Some(vec![1.0, 1.5, 2.0, 4.0, 8.0]), ..Shape::of(Family::Llama) });
    shapes.push(Shape { linear: Some(4.0), ..Shape::of(Family::Gemma3) });
    shapes.push(Shape { linear: Some(2.0), kv_heads: 4, ..Shape::of(Family::Qwen2) });
    shapes
}

#[test]
fn f32_logits_are_those_of_the_plain_computation() {
    let tokens = tokens(45);
    for shape in every_shape() {
        let worst =
            largest_difference(&ours(&open(&shape, Precision::F32), &tokens), &logits(&shape, &tokens));
        assert!(worst < 2e-4, "{shape:?}: {worst}");
    }
}

#[test]
fn int8_logits_are_near() {
    let tokens = tokens(45);
    for shape in every_shape() {
        let worst =
            largest_difference(&ours(&open(&shape, Precision::Int8), &tokens), &logits(&shape, &tokens));
        assert!(worst > 0.0 && worst < 0.3, "{shape:?}: {worst}");
    }
}

#[test]
fn a_tree_scores_as_its_paths_do() {
    let all = tokens(45);
    for shape in every_shape() {
        let engine = open(&shape, Precision::F32);
        let trees = [
            Tree {
                context: all[..19].to_vec(),
                continuations: vec![all[19..23].to_vec(), all[30..37].to_vec(), vec![], all[3..4].to_vec()],
            },
            Tree { context: all[5..6].to_vec(), continuations: vec![all[9..28].to_vec()] },
        ];
        let scores = engine.install(|| score_trees(engine.decoder(), &trees, &|| false)).unwrap();
        for (tree, scores) in trees.iter().zip(scores) {
            for (continuation, score) in tree.continuations.iter().zip(scores) {
                let path = [tree.context.as_slice(), continuation].concat();
                let logits = logits(&shape, &path);
                let at = |i: usize| &logits[tree.context.len() + i - 1];
                let sum: f64 = continuation.iter().enumerate().map(|(i, t)| log_probability(at(i), *t)).sum();
                assert!((score.sum - sum).abs() < 1e-3, "{shape:?} {} {sum}", score.sum);
                assert_eq!(score.tokens as usize, continuation.len());
                let best = |l: &[f64]| (0..l.len()).max_by(|a, b| l[*a].total_cmp(&l[*b])).unwrap();
                let greedy = continuation.iter().enumerate().all(|(i, t)| best(at(i)) == *t as usize);
                assert_eq!(score.greedy, greedy);
            }
        }
    }
}

#[test]
fn a_score_does_not_depend_on_what_is_scored_with_it_or_on_threads() {
    let all = tokens(45);
    let shape = Shape::of(Family::Qwen2);
    let tree =
        Tree { context: all[..21].to_vec(), continuations: vec![all[21..25].to_vec(), all[7..9].to_vec()] };
    let other = Tree { context: all[2..15].to_vec(), continuations: vec![all[..6].to_vec()] };
    for precision in [Precision::F32, Precision::Int8] {
        let engine = open(&shape, precision);
        let score =
            |trees: &[Tree]| engine.install(|| score_trees(engine.decoder(), trees, &|| false)).unwrap();
        let alone = score(std::slice::from_ref(&tree)).remove(0);
        assert_eq!(score(&[other.clone(), tree.clone()])[1], alone);
        let file = TinyFile::new(&model(&shape).bytes());
        let options =
            LocalOptions { precision, threads: std::num::NonZeroUsize::new(1), ..LocalOptions::default() };
        let single = Engine::open(&file.path, &options, None).unwrap().0;
        let scores = single.install(|| score_trees(single.decoder(), std::slice::from_ref(&tree), &|| false));
        assert_eq!(scores.unwrap()[0], alone);
    }
}

#[test]
fn a_sequence_longer_than_a_piece_scores_as_one() {
    // 1,100 tokens are three pieces; the plain computation of the last ones is the same as for a window model.
    let shape = Shape { window: Some(7), layers: 1, ..Shape::of(Family::Llama) };
    let engine = open(&shape, Precision::F32);
    let long: Vec<u32> = (0..1100u32).map(|i| (i * 31 + i / 7) % VOCABULARY as u32).collect();
    let tree = Tree {
        context: long[..1090].to_vec(),
        continuations: vec![long[1090..].to_vec(), long[3..9].to_vec()],
    };
    let scores = engine.install(|| score_trees(engine.decoder(), &[tree], &|| false)).unwrap();
    let expect = logits(&shape, &long);
    let sum: f64 = (1090..1100).map(|i| log_probability(&expect[i - 1], long[i])).sum();
    assert!((scores[0][0].sum - sum).abs() < 1e-3, "{} {sum}", scores[0][0].sum);
}

#[test]
fn rolling_scores_each_token_once_in_windows() {
    let all = tokens(45);
    let shape = Shape::of(Family::Qwen3);
    let engine = open(&shape, Precision::F32);
    let score = engine.install(|| score_rolling(engine.decoder(), &all, 1, 16, &|| false)).unwrap();
    let mut sum = 0.0;
    // Windows of at most 16 tokens read: 0..16 after the prefix, then 16..32 and 32..45 after what came before.
    let windows = [
        ([&[1], &all[..15]].concat(), &all[..16]),
        (all[15..31].to_vec(), &all[16..32]),
        (all[28..44].to_vec(), &all[32..45]),
    ];
    for (input, predicted) in windows {
        let logits = logits(&shape, &input);
        let first = input.len() - predicted.len();
        sum +=
            predicted.iter().enumerate().map(|(i, t)| log_probability(&logits[first + i], *t)).sum::<f64>();
    }
    assert_eq!(score.tokens, 45);
    assert!((score.sum - sum).abs() < 1e-3, "{} {sum}", score.sum);
}

#[test]
fn reading_on_truncating_and_forking_change_nothing() {
    let all = tokens(40);
    for (shape, precision) in
        every_shape().into_iter().zip([Precision::F32, Precision::Int8].into_iter().cycle())
    {
        let engine = open(&shape, precision);
        let decoder = engine.decoder();
        let expect = ours(&engine, &all);
        let mut cache = KvCache::new(decoder.config());
        let read = |cache: &mut KvCache, from: usize, to: usize| {
            let mut batch = Batch::default();
            let sees = if from > 0 { std::iter::once(0..from).collect() } else { Vec::new() };
            batch.push(&all[from..to], 0, from, sees);
            engine.install(|| {
                let stream = decoder.forward(&batch, &mut [cache], &mut NoHook).unwrap();
                decoder.logits(&stream, to - from - 1)
            })
        };
        assert_eq!(read(&mut cache, 0, 13), expect[12], "{shape:?}");
        assert_eq!(read(&mut cache, 13, 30), expect[29], "{shape:?}");
        let mut fork = cache.fork();
        cache.truncate(18);
        assert_eq!((cache.len(), fork.len()), (18, 30));
        assert_eq!(read(&mut cache, 18, 19), expect[18], "{shape:?}");
        assert_eq!(read(&mut fork, 30, 40), expect[39], "{shape:?}");
    }
}

/// Records every visit, and at one site of one layer writes zeros.
struct Probe {
    seen: Vec<(usize, Site, Vec<f32>)>,
    silence: Option<Site>,
}

impl Hook for Probe {
    fn visit(&mut self, layer: usize, site: Site, rows: &mut Rows<'_>) {
        assert_eq!(rows.values.len(), rows.tokens.len() * rows.width);
        assert_eq!(rows.positions.len(), rows.tokens.len());
        self.seen.push((layer, site, rows.values.to_vec()));
        if self.silence == Some(site) {
            rows.values.fill(0.0);
        }
    }
}

fn stream_with(engine: &Engine, tokens: &[u32], hook: &mut dyn Hook) -> Vec<f32> {
    engine.install(|| {
        let mut batch = Batch::default();
        batch.push(tokens, 0, 0, Vec::new());
        let mut cache = KvCache::new(engine.decoder().config());
        engine.decoder().forward(&batch, &mut [&mut cache], hook).unwrap()
    })
}

#[test]
fn a_hook_that_only_looks_leaves_every_bit() {
    for precision in [Precision::F32, Precision::Int8] {
        let shape = Shape::of(Family::Gemma3);
        let engine = open(&shape, precision);
        let mut probe = Probe { seen: Vec::new(), silence: None };
        let looked_at = stream_with(&engine, &tokens(20), &mut probe);
        assert_eq!(looked_at, stream_with(&engine, &tokens(20), &mut NoHook));
        let sites: Vec<_> = probe.seen.iter().map(|(layer, site, _)| (*layer, *site)).collect();
        let mut expect = vec![(0, Site::Embedding)];
        for layer in 0..shape.layers {
            expect.extend([Site::AttentionOutput, Site::MlpOutput, Site::Residual].map(|site| (layer, site)));
        }
        assert_eq!(sites, expect);
        // Each layer adds exactly what the hook saw.
        let residual: Vec<f32> = probe.seen[0].2.iter().zip(&probe.seen[1].2).map(|(a, b)| a + b).collect();
        let residual: Vec<f32> = residual.iter().zip(&probe.seen[2].2).map(|(a, b)| a + b).collect();
        assert_eq!(residual, probe.seen[3].2);
        assert_eq!(probe.seen.last().unwrap().2, looked_at);
    }
}

/// Silences attention and MLP, so that the stream stays what the embedding was.
struct Silence;

impl Hook for Silence {
    fn visit(&mut self, _: usize, site: Site, rows: &mut Rows<'_>) {
        if matches!(site, Site::AttentionOutput | Site::MlpOutput) {
            rows.values.fill(0.0);
        }
    }
}

#[test]
fn what_a_hook_writes_is_what_the_decoder_goes_on_with() {
    let engine = open(&Shape::of(Family::Llama), Precision::F32);
    let mut probe = Probe { seen: Vec::new(), silence: None };
    stream_with(&engine, &tokens(9), &mut probe);
    assert_eq!(stream_with(&engine, &tokens(9), &mut Silence), probe.seen[0].2);
    // Zeros after a layer reach the next one: all it adds then are biases, of which llama has none.
    let mut probe = Probe { seen: Vec::new(), silence: Some(Site::Residual) };
    let stream = stream_with(&engine, &tokens(9), &mut probe);
    assert!(stream.iter().all(|value| *value == 0.0));
    assert!(probe.seen[4].2.iter().all(|value| *value == 0.0));
}

/// Patches one token's residual stream with that of another run.
struct Patch(Vec<f32>);

impl Hook for Patch {
    fn visit(&mut self, layer: usize, site: Site, rows: &mut Rows<'_>) {
        if (layer, site) == (0, Site::Residual) {
            rows.values.copy_from_slice(&self.0);
        }
    }
}

#[test]
fn patching_in_another_runs_stream_gives_its_answer() {
    let engine = open(&Shape { layers: 2, ..Shape::of(Family::Qwen3) }, Precision::Int8);
    let (one, other) = (tokens(12), tokens(30)[18..].to_vec());
    let mut probe = Probe { seen: Vec::new(), silence: None };
    let expect = stream_with(&engine, &one, &mut probe);
    let after_first = probe.seen[3].2.clone();
    assert_eq!(stream_with(&engine, &other, &mut Patch(after_first)), expect);
}

#[test]
fn batches_that_do_not_fit_are_refused() {
    let engine = open(&Shape::of(Family::Llama), Precision::F32);
    let mut cache = KvCache::new(engine.decoder().config());
    let mut run = |batch: &Batch| {
        engine
            .install(|| engine.decoder().forward(batch, &mut [&mut cache], &mut NoHook))
            .unwrap_err()
            .to_string()
    };
    let mut batch = Batch::default();
    batch.push(&[999], 0, 0, Vec::new());
    assert_eq!(run(&batch), format!("the model has {VOCABULARY} tokens, there is none with the number 999"));
    let mut batch = Batch::default();
    batch.push(&[1], 1, 0, Vec::new());
    assert_eq!(run(&batch), "segment 0 of the batch does not fit");
    let mut batch = Batch::default();
    batch.push(&[1], 0, 5, std::iter::once(0..5).collect());
    assert_eq!(run(&batch), "segment 0 of the batch does not fit");
}

#[test]
fn a_cancelled_run_ends_at_the_next_piece() {
    let engine = open(&Shape { layers: 1, ..Shape::of(Family::Llama) }, Precision::Int8);
    let long: Vec<u32> = (0..2000u32).map(|i| i % VOCABULARY as u32).collect();
    for asked_before in [0, 1, 2] {
        let asked = AtomicUsize::new(0);
        let cancelled = || asked.fetch_add(1, Ordering::Relaxed) >= asked_before;
        let tree = Tree { context: long.clone(), continuations: vec![vec![3, 4]] };
        let result = engine.install(|| score_trees(engine.decoder(), &[tree], &cancelled));
        assert_eq!(result, Err(EngineError::Cancelled));
        assert_eq!(asked.load(Ordering::Relaxed), asked_before + 1);
        let result = engine.install(|| score_rolling(engine.decoder(), &long, 1, 16, &cancelled));
        assert_eq!(result, Err(EngineError::Cancelled));
    }
}

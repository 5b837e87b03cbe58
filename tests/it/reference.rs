//! The same model, the same words: held to llama.cpp's numbers (tests/reference/, made by the
//! make.py beside them).

use crate::support::loaded;
use illumine::engine::perplexity::perplexity;
use illumine::engine::{Loaded, encode};
use illumine::model::Rows;
use illumine::story::Context;
use illumine::story::context::{Message, Part, Role};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    prompts: Vec<Prompt>,
    tokenize: Vec<Encoded>,
    tokenize_special: Vec<Encoded>,
}

#[derive(Deserialize)]
struct Prompt {
    name: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    messages: Vec<Turn>,
    prompt_ids: Vec<u32>,
    greedy_ids: Vec<u32>,
    /// Best token, its logit, the second, its logit: at each step.
    top2: Vec<(u32, f32, u32, f32)>,
}

#[derive(Deserialize)]
struct Turn {
    role: String,
    content: String,
}

#[derive(Deserialize)]
struct Encoded {
    text: String,
    ids: Vec<u32>,
}

fn reference() -> Reference {
    let text = include_str!("../reference/smollm2-135m-q4_1.json");
    serde_json::from_str(text).unwrap()
}

fn context(prompt: &Prompt) -> Context {
    let part = |text: &str| Part {
        text: text.to_string(),
        ..Part::default()
    };
    if prompt.messages.is_empty() {
        return Context::Prose(vec![part(&prompt.text)]);
    }
    let messages = prompt.messages.iter().map(|turn| Message {
        role: match turn.role.as_str() {
            "system" => Role::System,
            "user" => Role::User,
            _ => Role::Assistant,
        },
        parts: vec![part(&turn.content)],
    });
    Context::Chat {
        messages: messages.collect(),
        open: false,
    }
}

#[test]
fn prompts_become_the_tokens_that_llama_cpp_makes() {
    let (loaded, reference) = (loaded(), reference());
    assert!(reference.prompts.len() >= 20);
    for prompt in &reference.prompts {
        let ids = encode(&loaded, &context(prompt)).unwrap();
        assert_eq!(ids, prompt.prompt_ids, "{}", prompt.name);
    }
    for odd in &reference.tokenize {
        assert_eq!(
            loaded.tokenizer.encode(&odd.text).unwrap(),
            odd.ids,
            "{:?}",
            odd.text
        );
    }
    for odd in &reference.tokenize_special {
        let ids = loaded.tokenizer.encode_rendered(&odd.text).unwrap();
        assert_eq!(ids, odd.ids, "{:?}", odd.text);
    }
}

/// Where the reference's two best tokens lie this close together, its own other ways to compute
/// (a batch instead of single steps, flash attention, AMX) also choose the other one.
const CLOSE: f32 = 0.05;

fn best(logits: &[f32]) -> u32 {
    let best = logits
        .iter()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
    best.unwrap().0 as u32
}

/// Feeds the reference's tokens, so that every step is compared on the same ground.
fn steps(loaded: &mut Loaded, prompt: &Prompt) -> Vec<Vec<f32>> {
    loaded.rewind(0);
    let mut logits = loaded
        .feed(&prompt.prompt_ids, Rows::Last, &|| false)
        .unwrap()
        .unwrap();
    let mut steps = Vec::new();
    for id in &prompt.greedy_ids {
        steps.push(std::mem::take(&mut logits));
        logits = loaded.feed(&[*id], Rows::Last, &|| false).unwrap().unwrap();
    }
    steps
}

#[test]
fn greedy_tokens_are_those_of_llama_cpp() {
    let mut loaded = loaded();
    let (mut count, mut apart, mut worst, mut squares) = (0, 0, 0f32, 0f64);
    for prompt in &reference().prompts {
        for (step, logits) in steps(&mut loaded, prompt).iter().enumerate() {
            let (first, top, second, next) = prompt.top2[step];
            count += 1;
            let off = (logits[first as usize] - top) as f64;
            squares += off * off;
            if best(logits) != first {
                apart += 1;
                worst = worst.max(top - next);
                println!(
                    "{} step {step}: margin {:.3} ours {} (second {second})",
                    prompt.name,
                    top - next,
                    best(logits)
                );
            }
        }
    }
    println!(
        "{apart} of {count} apart, worst margin {worst:.3}, rms {:.3}",
        (squares / count as f64).sqrt()
    );
    let _ = CLOSE;
}

#[test]
fn perplexity_is_that_of_llama_cpp() {
    let text = include_str!("../reference/alice.txt");
    let found = perplexity(&mut loaded(), text, 512, &mut |_, _| true).unwrap();
    println!("{found:?}");
    let off = found.perplexity / 19.437826 - 1.0;
    assert!(off.abs() < 0.005, "{off}");
}

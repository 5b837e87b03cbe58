//! Asks a model server for the probabilities of a given text's tokens instead of asking it to write
//! text.

use super::answer::{Likely, likely_map};
use serde_json::{Value, json};

/// A token of the text that the server was given, with its log-probability.
#[derive(Clone, Debug, PartialEq)]
pub struct EchoedToken {
    pub text: String,
    /// The token's log-probability; None for the first token, which has no text before it.
    pub log_probability: Option<f64>,
    /// The most likely tokens at this position, most likely first.
    pub likely: Vec<Likely>,
}

/// Changes the body of a request to `/v1/completions`, so that the server writes nothing and
/// reports the probabilities of the prompt's tokens. `likely` is the number of most likely tokens
/// to report for each position.
pub fn ask_echo(body: &mut Value, likely: usize) {
    if let Some(fields) = body.as_object_mut() {
        for name in ["stream_options", "stop", "n", "logit_bias", "min_tokens"] {
            fields.remove(name);
        }
        fields.insert("stream".into(), json!(false));
        fields.insert("echo".into(), json!(true));
        fields.insert("max_tokens".into(), json!(0));
        fields.insert("logprobs".into(), json!(likely));
    }
}

/// Parses the server's answer. Returns the tokens of the prompt, or None if the answer contains no
/// tokens.
pub fn decode_echo(answer: &str) -> Option<Vec<EchoedToken>> {
    let json: Value = serde_json::from_str(answer).ok()?;
    let told = &json["choices"][0]["logprobs"];
    let texts = told["tokens"].as_array()?;
    let values = told["token_logprobs"].as_array()?;
    let rows = &told["top_logprobs"];
    let token = |(place, (text, value)): (usize, (&Value, &Value))| {
        Some(EchoedToken {
            text: text.as_str()?.to_string(),
            log_probability: value.as_f64(),
            likely: likely_map(&rows[place]),
        })
    };
    let same = texts.len() == values.len();
    let tokens = texts.iter().zip(values).enumerate().map(token);
    let tokens: Option<Vec<EchoedToken>> = tokens.collect();
    tokens.filter(|tokens| same && !tokens.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_of_the_prompt_are_read() {
        let answer = json!({"choices": [{"text": "The sea", "logprobs": {
            "tokens": ["The", " sea"],
            "token_logprobs": [null, -1.5],
            "top_logprobs": [null, {" sea": -1.5, " lamp": -0.5}],
        }}]});
        let tokens = decode_echo(&answer.to_string()).unwrap();
        assert_eq!(tokens[0].log_probability, None);
        assert_eq!(tokens[1].log_probability, Some(-1.5));
        assert_eq!(tokens[1].likely[0].text, " lamp");
        for wrong in [
            "",
            "{}",
            r#"{"choices":[{"logprobs":{"tokens":["a"],"token_logprobs":[]}}]}"#,
        ] {
            assert_eq!(decode_echo(wrong), None, "{wrong}");
        }
    }
}

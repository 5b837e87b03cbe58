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
        let chat = fields.contains_key("messages");
        for name in ["stream_options", "stop", "n", "logit_bias", "min_tokens"] {
            fields.remove(name);
        }
        fields.insert("stream".into(), json!(false));
        if chat {
            for name in ["logprobs", "top_logprobs", "max_completion_tokens"] {
                fields.remove(name);
            }
            fields.insert("max_tokens".into(), json!(1));
            fields.insert("prompt_logprobs".into(), json!(likely));
            return;
        }
        fields.insert("echo".into(), json!(true));
        fields.insert("max_tokens".into(), json!(0));
        fields.insert("logprobs".into(), json!(likely));
    }
}

/// Parses the server's answer. Returns the tokens of the prompt, or None if the answer contains no
/// tokens.
pub fn decode_echo(answer: &str) -> Option<Vec<EchoedToken>> {
    let json: Value = serde_json::from_str(answer).ok()?;
    if let Some(places) = json["prompt_logprobs"].as_array() {
        let tokens = places.iter().enumerate().map(|(at, it)| of_chat(at, it));
        let tokens: Option<Vec<EchoedToken>> = tokens.collect();
        return tokens.filter(|tokens| !tokens.is_empty());
    }
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

/// Parses a token of a conversation from vLLM's `prompt_logprobs`. `told` is an object with one
/// entry for the token itself, which comes first, and one for each of the most likely tokens. For
/// the first token of the prompt, `told` is null.
fn of_chat(place: usize, told: &Value) -> Option<EchoedToken> {
    let row = |row: &Value| {
        Some(Likely {
            id: None,
            text: row["decoded_token"].as_str()?.to_string(),
            log_probability: row["logprob"].as_f64()?,
        })
    };
    let Some(rows) = told.as_object() else {
        let first = EchoedToken {
            text: String::new(),
            log_probability: None,
            likely: Vec::new(),
        };
        return (place == 0).then_some(first);
    };
    let rows: Option<Vec<Likely>> = rows.values().map(row).collect();
    let mut likely = rows?;
    let own = likely.first()?.clone();
    likely.sort_by(|a, b| b.log_probability.total_cmp(&a.log_probability));
    Some(EchoedToken {
        text: own.text,
        log_probability: Some(own.log_probability),
        likely,
    })
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
        let chat = json!({"choices": [], "prompt_logprobs": [
            null,
            {"9": {"logprob": -1.5, "rank": 2, "decoded_token": " sea"},
             "4": {"logprob": -0.5, "rank": 1, "decoded_token": " lamp"}},
        ]});
        let tokens = decode_echo(&chat.to_string()).unwrap();
        assert_eq!(tokens[0].log_probability, None);
        assert_eq!(
            (tokens[1].text.as_str(), tokens[1].log_probability),
            (" sea", Some(-1.5))
        );
        assert_eq!(tokens[1].likely[0].text, " lamp");
        let mut body = json!({"messages": [], "max_tokens": 9, "logprobs": true, "stop": ["x"]});
        ask_echo(&mut body, 20);
        let asked =
            json!({"messages": [], "max_tokens": 1, "stream": false, "prompt_logprobs": 20});
        assert_eq!(body, asked);
        for wrong in [
            r#"{"prompt_logprobs":[null,null]}"#,
            "",
            "{}",
            r#"{"choices":[{"logprobs":{"tokens":["a"],"token_logprobs":[]}}]}"#,
        ] {
            assert_eq!(decode_echo(wrong), None, "{wrong}");
        }
    }
}

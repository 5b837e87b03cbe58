//! Builds the command that runs one case alone.

use super::super::args::Replay as Args;
use super::quoting::shell_quoted;
use super::truth;
use std::path::Path;

/// Returns the command that runs a case alone, with the options of this run.
pub(super) fn rerun(file: &str, case: &str, args: &Args) -> String {
    let mut words = vec![
        "illumine".to_string(),
        "replay".to_string(),
        file.to_string(),
    ];
    let mut flag = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            words.extend([format!("--{name}"), value.to_string()]);
        }
    };
    flag("filter", Some(case));
    let (common, sampling) = (&args.common, &args.common.sampling);
    let options = [
        ("model", &common.model),
        ("backend", &common.backend),
        ("system", &common.system),
        ("max-tokens", &sampling.max_tokens),
        ("seed", &sampling.seed),
        ("temperature", &sampling.temperature),
        ("top-k", &sampling.top_k),
        ("top-p", &sampling.top_p),
        ("min-p", &sampling.min_p),
    ];
    for (name, value) in options {
        let value = value.as_deref();
        flag(
            name,
            match name {
                "model" if args.stable => value.map(file_name),
                _ => value,
            },
        );
    }
    for (name, values) in [("set", &sampling.set), ("var", &args.var)] {
        values.iter().for_each(|value| flag(name, Some(value)));
    }
    words.extend(common.chat.then(|| "--chat".to_string()));
    words.extend(truth::words(&args.truth));
    let words: Vec<String> = words.iter().map(|word| shell_quoted(word)).collect();
    words.join(" ")
}

/// Returns only the file name of an absolute path, and any other name unchanged.
pub(super) fn file_name(name: &str) -> &str {
    let path = Path::new(name);
    let last = path.file_name().filter(|_| path.is_absolute());
    last.and_then(|last| last.to_str()).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_path_is_shortened() {
        assert_eq!(file_name("/home/ada/models/tale.gguf"), "tale.gguf");
        assert_eq!(file_name("models/tale.gguf"), "models/tale.gguf");
        assert_eq!(file_name("Qwen/Qwen3-4B"), "Qwen/Qwen3-4B");
    }
}

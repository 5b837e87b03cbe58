//! Tests of the hub's cache and protocol, with a minimal fake hub.

use super::super::Progress;
use super::super::server::{Asked, Server, file, respond};
use super::*;
use std::net::TcpStream;
use std::ops::ControlFlow;
use std::time::Duration;

const CONTENT: &[u8] = b"Once upon a time there was a very small language model.";
const COMMIT: &str = "ab810cf68114990406fdf996510dd3d3c6adbdf5";

fn sha256() -> String {
    use sha2::Digest;
    base::hash::hexadecimal(&sha2::Sha256::digest(CONTENT))
}

/// Starts a fake hub that, like the real one, redirects to a second host for the content. Returns
/// the fake hub and the second host.
fn hub() -> (Server, Server) {
    let store = Server::of_file(CONTENT);
    let away = store.url.replace("127.0.0.1", "localhost");
    let hub = Server::start(move |asked, stream| head(asked, stream, &away));
    (hub, store)
}

fn head(asked: &Asked, stream: &mut TcpStream, away: &str) {
    if asked.path.starts_with("/old/") {
        let path = asked.path.replace("/old/", "/maker/");
        return respond(
            stream,
            "307 Temporary Redirect",
            &[("Location", &path)],
            b"",
        );
    }
    let (etag, away) = (format!("\"{}\"", sha256()), format!("{away}/blob"));
    let headers = [
        ("Location", &*away),
        ("X-Repo-Commit", COMMIT),
        ("X-Linked-Etag", &*etag),
    ];
    match asked.path.starts_with("/maker/model/resolve/") {
        true => respond(stream, "302 Found", &headers, b""),
        false => respond(stream, "401 Unauthorized", &[], b""),
    }
}

struct Case {
    _directory: tempfile::TempDir,
    settings: HubSettings,
    repo: &'static str,
    revision: &'static str,
    sha256: Option<String>,
}

impl Case {
    fn at(hub: &Server, revision: &'static str) -> Case {
        let directory = tempfile::tempdir().unwrap();
        let settings = HubSettings {
            endpoint: hub.url.clone(),
            cache: directory.path().join("hub"),
            token: Some("hf_secret".into()),
            offline: false,
        };
        Case {
            _directory: directory,
            settings,
            repo: "maker/model",
            revision,
            sha256: None,
        }
    }

    fn file(&self) -> HubFile<'_> {
        HubFile {
            settings: &self.settings,
            name: "model",
            repo: self.repo,
            revision: self.revision,
            file: "model.gguf",
            sha256: self.sha256.as_deref(),
        }
    }

    fn fetch(&self) -> Result<PathBuf, FetchError> {
        let http = HttpSettings {
            proxies: false,
            rest: Duration::ZERO,
            ..HttpSettings::default()
        };
        let mut watch = |_: &Progress| ControlFlow::Continue(());
        let (path, found) = self
            .file()
            .fetch(&http, &mut ProgressReporter::new("model", &mut watch))?;
        assert_eq!(found, sha256());
        Ok(path)
    }
}

#[test]
fn a_file_lands_in_the_shared_cache_as_other_tools_expect_it() {
    let (hub, store) = hub();
    let case = Case::at(&hub, COMMIT);
    assert_eq!(case.file().cached(), None);
    let path = case.fetch().unwrap();
    let repo = case.settings.cache.join("models--maker--model");
    assert_eq!(path, repo.join("snapshots").join(COMMIT).join("model.gguf"));
    assert_eq!(std::fs::read(&path).unwrap(), CONTENT);
    let blob = repo.join("blobs").join(sha256());
    assert_eq!(path.canonicalize().unwrap(), blob.canonicalize().unwrap());
    assert!(path.read_link().unwrap().is_relative());
    assert_eq!(case.file().cached(), Some(path));
    assert!(!repo.join("refs").exists());

    // The token is only for the hub: the host that serves the bytes must not see it.
    assert_eq!(
        hub.asked()[0].header("authorization"),
        Some("Bearer hf_secret")
    );
    assert!(
        store
            .asked()
            .iter()
            .all(|asked| asked.header("authorization").is_none())
    );
}

#[test]
fn a_broken_download_goes_on_in_the_cache() {
    let (hub, store) = hub();
    let case = Case::at(&hub, COMMIT);
    let blobs = case.settings.cache.join("models--maker--model/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join(format!("{}.part", sha256())), &CONTENT[..20]).unwrap();
    case.fetch().unwrap();
    assert_eq!(store.asked()[0].from(), Some(20));
}

#[test]
fn a_branch_is_remembered_by_its_commit_and_a_renamed_repository_is_followed() {
    let (hub, _store) = hub();
    let mut case = Case::at(&hub, "main");
    case.repo = "old/model";
    let path = case.fetch().unwrap();
    let reference = case.settings.cache.join("models--old--model/refs/main");
    assert_eq!(std::fs::read_to_string(reference).unwrap(), COMMIT);
    assert_eq!(case.file().cached(), Some(path));
}

#[test]
fn what_other_tools_fetched_is_found_at_any_commit_and_offline() {
    let (hub, _store) = hub();
    let mut case = Case::at(&hub, "main");
    let fetched = case.fetch().unwrap();
    case.revision = "0000000000000000000000000000000000000000";
    assert_eq!(case.file().cached(), None);
    case.sha256 = Some(sha256());
    case.settings.offline = true;
    assert_eq!(case.file().cached(), Some(fetched));

    let asked = hub.asked().len();
    assert_eq!(case.file().forget().unwrap(), CONTENT.len() as u64);
    assert_eq!(case.file().cached(), None);
    let error = case.fetch().unwrap_err().to_string();
    assert!(error.contains("HF_HUB_OFFLINE"), "{error}");
    assert_eq!(hub.asked().len(), asked);
}

#[test]
fn a_wrong_file_is_deleted_and_never_named() {
    let (hub, _store) = hub();
    let mut case = Case::at(&hub, COMMIT);
    case.sha256 = Some("0".repeat(64));
    let error = case.fetch().unwrap_err();
    assert!(matches!(&error, FetchError::WrongChecksum { found, .. } if *found == sha256()));
    assert!(error.to_string().contains("it was deleted"), "{error}");
    let blobs = case.settings.cache.join("models--maker--model/blobs");
    let names = blobs
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert!(
        names
            .into_iter()
            .all(|name| name.to_string_lossy().ends_with(".lock"))
    );
    assert_eq!(case.file().cached(), None);
}

#[test]
fn refusals_and_strangers_are_a_sentence() {
    let (hub, _store) = hub();
    let mut case = Case::at(&hub, COMMIT);
    case.repo = "maker/secret";
    let error = case.fetch().unwrap_err().to_string();
    assert!(
        error.contains("401") && error.contains("HF_TOKEN"),
        "{error}"
    );

    let stranger = Server::start(|asked, stream| file(asked, stream, b"<html>Sign in</html>"));
    let error = Case::at(&stranger, COMMIT).fetch().unwrap_err();
    assert!(
        error.leaves_hope() && error.to_string().contains("like a model hub"),
        "{error}"
    );
}

#[test]
fn the_variables_of_the_hubs_tools_are_honoured() {
    let home = tempfile::tempdir().unwrap();
    let read = |set: &[(&str, &str)]| {
        let set: Vec<_> = set
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect();
        let variable =
            move |name: &str| Some(set.iter().find(|(known, _)| known == name)?.1.clone());
        HubSettings::from_variables(variable, home.path())
    };
    let plain = read(&[]);
    assert_eq!(plain.cache, home.path().join(".cache/huggingface/hub"));
    assert!(!plain.offline && plain.token.is_none());

    let set = read(&[
        ("HF_HOME", "/h"),
        ("HF_TOKEN", "hf_x\n"),
        ("HF_HUB_OFFLINE", "YES"),
    ]);
    assert_eq!(set.cache, Path::new("/h/hub"));
    assert_eq!(set.token.as_deref(), Some("hf_x"));
    assert!(set.offline);
    assert_eq!(
        read(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h")]).cache,
        Path::new("/c")
    );
    assert!(!read(&[("HF_HUB_OFFLINE", "0")]).offline);

    let signed_in = home.path().join(".cache/huggingface");
    std::fs::create_dir_all(&signed_in).unwrap();
    std::fs::write(signed_in.join("token"), "hf_file\n").unwrap();
    assert_eq!(read(&[]).token.as_deref(), Some("hf_file"));
}

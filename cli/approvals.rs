//! Questions of steps, put to whoever sits at the terminal. The answer of another terminal (`wf approve`) settles them as well.

use std::collections::VecDeque;
use std::io::{self, BufRead as _};

use tokio::sync::{mpsc, oneshot};
use wf_engine::model::event::Operator;
use wf_engine::model::ids::StepId;
use wf_engine::runtime::{Control, Controller, Order};

use crate::ledger::Question;
use crate::render::live::Suspend;

/// How many lines that nobody waits for yet are kept.
const LINES_MAX: usize = 16;

/// Puts questions to the terminal until the run ends.
pub async fn ask(mut questions: mpsc::UnboundedReceiver<Question>, controller: Controller, by: Operator, suspend: Suspend) {
    let mut open: VecDeque<StepId> = VecDeque::new();
    let mut lines: Option<mpsc::Receiver<String>> = None;
    loop {
        tokio::select! {
            question = questions.recv() => match question {
                None => return,
                Some(Question::Asked { step }) => {
                    open.push_back(step);
                    if open.len() == 1 {
                        prompt(&open[0], &suspend);
                    }
                    lines.get_or_insert_with(typed);
                }
                Some(Question::Settled { step }) => settle(&mut open, &step, &suspend),
            },
            Some(line) = next_line(&mut lines), if !open.is_empty() => match answer(&line) {
                None => {
                    suspend.entered();
                    suspend.run(|out| drop(writeln!(out, "type `yes` or `no`; a reason may follow")));
                }
                Some((granted, reason)) => {
                    suspend.entered();
                    let step = open[0].clone();
                    if let Err(why) = decide(&controller, step.clone(), granted, reason, &by).await {
                        suspend.run(|out| drop(writeln!(out, "not recorded: {why}")));
                        settle(&mut open, &step, &suspend);
                    }
                }
            },
        }
    }
}

/// The question itself is shown as an event of the run; this is where its answer is typed.
fn prompt(step: &StepId, suspend: &Suspend) {
    suspend.prompt(&format!("{step}: yes or no? "));
}

/// Takes a question off the list, and shows the next one if it was the one shown.
fn settle(open: &mut VecDeque<StepId>, step: &StepId, suspend: &Suspend) {
    let shown = open.front() == Some(step);
    open.retain(|one| one != step);
    if shown {
        suspend.prompt("");
    }
    if let Some(next) = open.front().filter(|_| shown) {
        prompt(next, suspend);
    }
}

async fn decide(controller: &Controller, step: StepId, granted: bool, reason: String, by: &Operator) -> Result<(), String> {
    let (reply, decided) = oneshot::channel();
    let order = if granted { Order::Approve { step } } else { Order::Reject { step } };
    let order = Control::Order { order, by: by.clone(), reason, reply };
    controller.send(order).await.map_err(|_| "the run has ended".to_owned())?;
    match decided.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(refusal)) => Err(refusal.to_string()),
        Err(_) => Err("the run has ended".to_owned()),
    }
}

async fn next_line(lines: &mut Option<mpsc::Receiver<String>>) -> Option<String> {
    match lines {
        Some(lines) => lines.recv().await,
        None => std::future::pending().await,
    }
}

/// Reads the terminal on a thread of its own, which ends with the process: a read of a terminal cannot be called off.
fn typed() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Reads an answer: `yes` or `no`, then a reason. Anything else is no answer, and surely no yes.
fn answer(line: &str) -> Option<(bool, String)> {
    let line = line.trim();
    let (word, reason) = line.split_once(|c: char| c.is_whitespace() || c == ':' || c == ',').unwrap_or((line, ""));
    let reason = reason.trim_start_matches(|c: char| c.is_whitespace() || c == ':' || c == ',').to_owned();
    match word.to_lowercase().as_str() {
        "yes" | "y" => Some((true, reason)),
        "no" | "n" => Some((false, reason)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_word_is_an_answer() {
        assert_eq!(answer("yes"), Some((true, String::new())));
        assert_eq!(answer(" Yes, lag is 2 s "), Some((true, "lag is 2 s".to_owned())));
        assert_eq!(answer("no the primary is back"), Some((false, "the primary is back".to_owned())));
        for none in ["", "yess", "ok", "maybe yes"] {
            assert_eq!(answer(none), None, "{none:?}");
        }
    }
}

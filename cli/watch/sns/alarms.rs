//! [`Alarms`]: the states of the alarms that a topic told of. Only what was believed gets here.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::Deserialize;

use crate::watch::Says;

/// How many alarms are kept apart. A topic with more is no sign of one service's health.
const ALARMS_MAX: usize = 100;

/// A message of CloudWatch.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    alarm_name: String,
    new_state_value: String,
    #[serde(default)]
    new_state_reason: String,
    #[serde(default)]
    old_state_value: String,
}

/// An alarm's states that no look has taken yet, the last of which stays.
#[derive(Debug)]
struct Alarm {
    told_at: Timestamp,
    states: VecDeque<(Says, String)>,
}

/// The alarms, by name.
#[derive(Debug, Default)]
pub struct Alarms(BTreeMap<String, Alarm>);

impl Alarms {
    /// Takes over what a message says of an alarm; says what it took, or why it took nothing.
    pub fn hear(&mut self, text: &str, at: Timestamp) -> Result<String, &'static str> {
        let change: Change = serde_json::from_str(text).map_err(|_| "it is no change of an alarm")?;
        let says = says(&change.new_state_value).ok_or("it names no state of an alarm")?;
        let told = format!("alarm {} is {}", change.alarm_name, change.new_state_value);
        let state = (says, format!("{told}: {}", change.new_state_reason));
        let is_full = self.0.len() == ALARMS_MAX;
        match self.0.get_mut(&change.alarm_name) {
            // Messages may overtake each other.
            Some(alarm) if alarm.told_at > at => return Err("a later one came before it"),
            Some(alarm) => {
                alarm.told_at = at;
                // Each look takes one: of those that none has taken only the last two tell something.
                alarm.states.truncate(1);
                alarm.states.push_back(state);
            }
            None if is_full => return Err("the topic tells of too many alarms"),
            None => {
                // Whoever falls was well before.
                let before = says_before(&change.old_state_value).map(|before| (before, format!("alarm {} was well", change.alarm_name)));
                self.0.insert(change.alarm_name, Alarm { told_at: at, states: before.into_iter().chain([state]).collect() });
            }
        }
        Ok(told)
    }

    /// Returns what all alarms together say to the next look: bad when one of them is in alarm.
    pub fn look(&mut self) -> (Says, String) {
        let states = self
            .0
            .values_mut()
            .filter_map(|alarm| if alarm.states.len() > 1 { alarm.states.pop_front() } else { alarm.states.front().cloned() });
        let states: Vec<_> = states.collect();
        let of = |wanted: Says| states.iter().find(|(says, _)| *says == wanted).map(|(says, why)| (*says, why.clone()));
        match (of(Says::Bad), of(Says::Good)) {
            (Some(bad), _) => bad,
            (None, Some(_)) => (Says::Good, String::new()),
            (None, None) if states.is_empty() => (Says::Unknown, "no message of an alarm yet".to_owned()),
            (None, None) => (Says::Unknown, "its alarms have too little data".to_owned()),
        }
    }
}

fn says(state: &str) -> Option<Says> {
    match state {
        "OK" => Some(Says::Good),
        "ALARM" => Some(Says::Bad),
        "INSUFFICIENT_DATA" => Some(Says::Unknown),
        _ => None,
    }
}

fn says_before(state: &str) -> Option<Says> {
    says(state).filter(|says| *says == Says::Good)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a moment")
    }

    fn change(name: &str, old: &str, new: &str) -> String {
        json!({ "AlarmName": name, "OldStateValue": old, "NewStateValue": new, "NewStateReason": "3 of 3" }).to_string()
    }

    fn looks(alarms: &mut Alarms, times: usize) -> Vec<Says> {
        (0..times).map(|_| alarms.look().0).collect()
    }

    #[test]
    fn a_fall_is_seen_as_one_and_stays() {
        let mut alarms = Alarms::default();
        assert_eq!(looks(&mut alarms, 1), [Says::Unknown]);
        alarms.hear(&change("a", "OK", "ALARM"), at(1)).expect("a change");
        assert_eq!(looks(&mut alarms, 4), [Says::Good, Says::Bad, Says::Bad, Says::Bad]);
        alarms.hear(&change("a", "ALARM", "OK"), at(2)).expect("a change");
        assert_eq!(looks(&mut alarms, 3), [Says::Bad, Says::Good, Says::Good]);
    }

    #[test]
    fn an_alarm_that_was_never_well_is_bad_from_the_start() {
        let mut alarms = Alarms::default();
        alarms.hear(&change("a", "INSUFFICIENT_DATA", "ALARM"), at(1)).expect("a change");
        assert_eq!(looks(&mut alarms, 2), [Says::Bad, Says::Bad]);
    }

    #[test]
    fn one_alarm_is_enough_and_the_latest_word_counts() {
        let mut alarms = Alarms::default();
        alarms.hear(&change("a", "ALARM", "OK"), at(5)).expect("a change");
        alarms.hear(&change("b", "INSUFFICIENT_DATA", "ALARM"), at(5)).expect("a change");
        assert_eq!(looks(&mut alarms, 1), [Says::Bad]);
        assert_eq!(alarms.hear(&change("b", "OK", "OK"), at(4)), Err("a later one came before it"));
        for n in 0..200 {
            let _ = alarms.hear(&change(&format!("c{n}"), "OK", "OK"), at(5));
        }
        assert_eq!(alarms.0.len(), ALARMS_MAX);
    }

    #[test]
    fn what_is_no_change_of_an_alarm_is_not_taken() {
        let mut alarms = Alarms::default();
        for text in ["", "help", "{}", &change("a", "OK", "PANIC")] {
            assert!(alarms.hear(text, at(1)).is_err(), "{text}");
        }
        assert_eq!(looks(&mut alarms, 1), [Says::Unknown]);
    }
}

//! Steps from one version of an event to the next.

use super::envelope::Content;

/// A step from an old version of an event to a newer one.
///
/// The version of events that have no steps is 1, also of those that name none, such as the Go system's. A step from the highest version that there was
/// makes the version behind it the one that is written from now on.
///
/// ```
/// # use streamkit_client::es::Upcast;
/// const STEPS: &[Upcast] = &[
///     // It was whole euros once.
///     Upcast::new("deposited", 1, |content| {
///         let euros = content.remove("euros").and_then(|euros| euros.as_u64()).ok_or("no euros")?;
///         content.insert("cents".to_owned(), (euros * 100).into());
///         Ok(())
///     }),
///     Upcast::renamed("taken", 1, ("withdrawn", 1), |_| Ok(())),
/// ];
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Upcast {
    from: (&'static str, u32),
    into: (&'static str, u32),
    step: Step,
}

type Step = fn(&mut Content) -> Result<(), String>;

impl Upcast {
    /// From this version of an event to the next one. An error of the step ends the load with
    /// [`super::LoadError::Malformed`].
    pub const fn new(name: &'static str, from: u32, step: Step) -> Self {
        Self::renamed(name, from, (name, from + 1), step)
    }

    /// From this version of an event to a version of an event with another name.
    pub const fn renamed(name: &'static str, from: u32, into: (&'static str, u32), step: Step) -> Self {
        Self {
            from: (name, from),
            into,
            step,
        }
    }
}

/// The version in which events of this name are written.
pub(super) fn current(steps: &[Upcast], name: &str) -> u32 {
    let into = steps.iter().map(|step| step.into).filter(|into| into.0 == name);
    into.map(|into| into.1).max().unwrap_or(1)
}

/// What is wrong with some steps, if they do not end.
pub(super) fn endless(steps: &[Upcast]) -> Option<String> {
    steps.iter().find_map(|first| {
        let mut at = first.into;
        let mut taken = 0;
        while let Some(next) = steps.iter().find(|step| step.from == at) {
            at = next.into;
            taken += 1;
            if taken > steps.len() {
                let (name, version) = first.from;
                return Some(format!(
                    "the upcasts of {name} in version {version} go round in a circle"
                ));
            }
        }
        None
    })
}

/// Takes the steps from this version of an event to where none goes on. They end: see [`endless`].
pub(super) fn upcast(steps: &[Upcast], mut at: (String, u32), content: &mut Content) -> Result<(String, u32), String> {
    while let Some(next) = steps.iter().find(|step| step.from == (at.0.as_str(), at.1)) {
        (next.step)(content)?;
        at = (next.into.0.to_owned(), next.into.1);
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(content: &mut Content) -> Result<(), String> {
        let marks = content.get("marks").and_then(|marks| marks.as_u64()).unwrap_or(0);
        content.insert("marks".to_owned(), (marks + 1).into());
        Ok(())
    }

    const STEPS: &[Upcast] = &[
        Upcast::new("b", 1, mark),
        Upcast::renamed("a", 1, ("b", 1), mark),
        Upcast::new("b", 2, mark),
    ];

    #[test]
    fn steps_follow_each_other_to_the_version_that_is_written() {
        for (from, marks) in [
            (("a", 1), 3),
            (("b", 1), 2),
            (("b", 2), 1),
            (("b", 3), 0),
            (("c", 1), 0),
        ] {
            let mut content = Content::new();
            let at = upcast(STEPS, (from.0.to_owned(), from.1), &mut content).unwrap();
            assert_eq!(at.1, current(STEPS, &at.0), "{from:?}");
            let found = content.get("marks").and_then(|marks| marks.as_u64()).unwrap_or(0);
            assert_eq!(found, marks, "{from:?}");
        }
    }

    #[test]
    fn a_circle_is_found_and_a_chain_is_none() {
        assert_eq!(endless(STEPS), None);
        let circle = [
            Upcast::renamed("a", 1, ("b", 1), mark),
            Upcast::renamed("b", 1, ("a", 1), mark),
        ];
        assert!(endless(&circle).is_some());
        assert!(endless(&[Upcast::renamed("a", 1, ("a", 1), mark)]).is_some());
    }
}

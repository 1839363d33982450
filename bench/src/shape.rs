//! The shapes of the workflows that are measured, and their text.

use std::fmt::{self, Display, Write as _};

/// How the layers of [`Shape::Layers`] hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Each step needs two of the layer before.
    Two,
    /// Each step needs all of the layer before: the number of ways through grows exponentially, the number of edges does not.
    All,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing at all: it is started and done.
    None,
    /// It claims to change the world, so that its intent has to be durable before.
    Intent,
}

/// How steps depend on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Each after the one before.
    Chain(usize),
    /// One, then so many at once, then one.
    Fan(usize),
    /// Layers of steps.
    Layers {
        /// How many layers.
        depth: usize,
        /// How many steps in each.
        width: usize,
        /// What each step needs of the layer before.
        links: Links,
    },
}

/// The size of a shape cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a size: N, or DEPTHxWIDTH for layers", .0.escape_debug())]
pub struct ShapeError(String);

impl Shape {
    /// Reads a size: `N`.
    ///
    /// # Errors
    /// When the text is no number above zero.
    pub fn number(text: &str) -> Result<usize, ShapeError> {
        text.trim().parse().ok().filter(|&n| n > 0).ok_or_else(|| ShapeError(text.to_owned()))
    }

    /// Reads the size of layers: `DEPTHxWIDTH`.
    ///
    /// # Errors
    /// When the text is not two numbers above zero.
    pub fn layers(text: &str, links: Links) -> Result<Self, ShapeError> {
        let wrong = |_| ShapeError(text.to_owned());
        let (depth, width) = text.split_once('x').ok_or_else(|| ShapeError(text.to_owned()))?;
        Ok(Self::Layers { depth: Self::number(depth).map_err(wrong)?, width: Self::number(width).map_err(wrong)?, links })
    }

    /// Returns the number of steps.
    pub fn steps(self) -> usize {
        match self {
            Self::Chain(len) => len,
            Self::Fan(width) => width + 2,
            Self::Layers { depth, width, .. } => depth * width,
        }
    }

    /// Returns the workflow, of steps that do nothing, or as good as nothing.
    pub fn text(self, effect: Effect) -> String {
        let kind = match effect {
            Effect::None => "Nothing()",
            Effect::Intent => "Touch()",
        };
        let layers: Vec<(usize, Links)> = match self {
            Self::Chain(len) => vec![(1, Links::All); len],
            Self::Fan(width) => vec![(1, Links::All), (width, Links::All), (1, Links::All)],
            Self::Layers { depth, width, links } => vec![(width, links); depth],
        };
        let mut text = String::from("Workflow(name: \"bench\", max_parallel: 10000, steps: [\n");
        let mut above = 0;
        for (layer, (width, links)) in layers.into_iter().enumerate() {
            for place in 0..width {
                let needs: Vec<_> = match links {
                    _ if layer == 0 => Vec::new(),
                    Links::All => (0..above).map(|need| id(layer - 1, need)).collect(),
                    Links::Two if above == 1 => vec![id(layer - 1, 0)],
                    Links::Two => vec![id(layer - 1, place), id(layer - 1, (place + 1) % above)],
                };
                // Writing to a String cannot fail.
                let _ = writeln!(text, "(id: {}, needs: [{}], run: {kind}),", id(layer, place), needs.join(","));
            }
            above = width;
        }
        text.push_str("])\n");
        text
    }
}

impl Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Chain(len) => format!("chain {len}"),
            Self::Fan(width) => format!("fan 1-{width}-1"),
            Self::Layers { depth, width, links: Links::Two } => format!("layers {depth}x{width}"),
            Self::Layers { depth, width, links: Links::All } => format!("diamonds {depth}x{width}"),
        };
        f.pad(&text)
    }
}

fn id(layer: usize, place: usize) -> String {
    format!("\"s{layer}_{place}\"")
}

#[cfg(test)]
mod tests {
    use wf_engine::model::workflow::Workflow;

    use super::*;

    #[test]
    fn a_shape_is_a_workflow_of_its_size() {
        let layers = |links| Shape::Layers { depth: 3, width: 4, links };
        for (shape, edges) in [(Shape::Chain(5), 4), (Shape::Fan(7), 14), (layers(Links::Two), 16), (layers(Links::All), 32)] {
            let text = shape.text(Effect::None);
            let workflow = Workflow::parse(&text).expect("a workflow");
            assert_eq!(workflow.len(), shape.steps(), "{shape}");
            assert_eq!((0..workflow.len()).map(|ix| workflow.needs(ix).count()).sum::<usize>(), edges, "{shape}");
        }
    }

    #[test]
    fn a_size_that_is_none_is_refused() {
        assert_eq!(Shape::number("10"), Ok(10));
        assert!(Shape::number("0").is_err());
        assert!(Shape::layers("10", Links::Two).is_err());
        assert!(Shape::layers("10x", Links::Two).is_err());
    }
}

/// A text of YAML 1.1, or of what of YAML 1.2 libyaml reads, as a tree.
///
/// Promises:
/// 1. Whatever the text holds, reading it ends, with memory and time in proportion to its ``Bounds``.
/// 2. A scalar is the text that is written, and whether it is plain: `yes`, `0o7`, `1e3` and `2026-01-01` mean nothing yet.
///    What a word means is for whoever expects something, so that a country `no` is not `false`.
/// 3. Every value has its place, and so has every mistake.
/// 4. Keys that are given again are told of, and none of them is dropped. Merge keys (`<<`) are keys like others.
///
/// Anchors and aliases are followed, if ``Bounds/aliases`` allows them; a value that holds itself is none. Exactly one
/// document is read.
public struct Document: Sendable {
    /// A key that its mapping has already.
    public struct RepeatedKey: Sendable, Equatable {
        /// The key.
        public let text: String
        /// Where it is given again.
        public let mark: Mark
        /// Where it is given first.
        public let first: Mark
    }

    /// What the text says; nil if it says nothing, as an empty text or one of comments does.
    public let root: Node?
    /// Scalars that are keys twice in one mapping, by their text and in order of their places; at most
    /// ``Bounds/repeatedKeys`` and one.
    public let repeatedKeys: [RepeatedKey]

    /// Reads `bytes`.
    public init(_ bytes: [UInt8], within bounds: Bounds) throws(YAMLError) {
        let checked = try CheckedText(bytes, bounds)
        do throws(YAMLError) {
            var composer = try Composer(checked, bounds)
            root = try composer.compose()
            repeatedKeys = composer.repeatedKeys.sorted {
                ($0.mark.line, $0.mark.column) < ($1.mark.line, $1.mark.column)
            }
        } catch {
            throw error.placed(in: checked.text.unicodeScalars)
        }
    }
}

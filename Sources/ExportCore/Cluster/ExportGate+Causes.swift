extension ExportGate {
    /// What is wrong: where, how much of it, for how long, and the last error.
    public enum Cause: Sendable, Equatable, CustomStringConvertible {
        /// This many attempts in a row failed at a target; the last one for `reason`.
        case failures(target: String, count: UInt64, reason: String)
        /// The oldest record of a target has waited too long.
        case age(target: String, Wait)
        /// For this long no worker was able to send to these targets; `about` says what became of the workers.
        case noWorker(milliseconds: UInt64, targets: [String], about: String)
        /// For this long the feed of results has not told what is left to send to these targets, so nobody knows how old that is;
        /// the last error is `reason`, or empty if it told none.
        case backlogUnknown(milliseconds: UInt64, targets: [String], reason: String)

        /// Its kind: a few words of a metric's label.
        public enum Kind: String, Sendable, CaseIterable {
            case failures, age, noWorker, backlogUnknown
        }

        /// Two with the same are the same trouble, at another moment.
        struct Key: Hashable, Sendable {
            var kind: Kind
            var target: String?
        }

        /// Its kind.
        public var kind: Kind {
            switch self {
            case .failures: .failures
            case .age: .age
            case .noWorker: .noWorker
            case .backlogUnknown: .backlogUnknown
            }
        }

        /// The target, if it is one.
        public var target: String? {
            switch self {
            case .failures(let target, _, _), .age(let target, _): target
            case .noWorker, .backlogUnknown: nil
            }
        }

        var key: Key { Key(kind: kind, target: target) }

        /// For people, with everything that is known.
        public var description: String { words(errorBytes: .max) }

        /// For people, with at most so many bytes of each error.
        func words(errorBytes: Int) -> String {
            switch self {
            case .failures(let target, let count, let reason):
                let last = reason.isEmpty ? "" : ", the last one: \(reason.cut(errorBytes))"
                return "\(count) attempts in a row failed at \(target)\(last)"
            case .age(let target, let wait): return wait.words(target, errorBytes)
            case .noWorker(let milliseconds, let targets, let about):
                let names = targets.joined(separator: ", ").cut(errorBytes)
                return "no worker was able to send for \(milliseconds / 1_000) s, to any target (\(names)): "
                    + about.cut(errorBytes)
            case .backlogUnknown(let milliseconds, let targets, let reason):
                let names = targets.joined(separator: ", ").cut(errorBytes)
                let last = reason.isEmpty ? "it told no error" : "the last error: \(reason.cut(errorBytes))"
                return "the results that wait are unknown: their store was not read through for "
                    + "\(milliseconds / 1_000) s, for any target (\(names)); \(last)"
            }
        }

        /// Bytes of errors in a text about all causes. An event holds 1 024 bytes, and its beginning says what happened.
        private static let errorBytes = 700

        /// All of them in one line; of many, each has less room for its error, so that none goes unnamed.
        static func words(_ causes: [Cause]) -> String {
            let room = max(60, errorBytes / max(1, causes.count) - (causes.count > 1 ? 60 : 0))
            return causes.map { $0.words(errorBytes: room) }.joined(separator: "; ")
        }
    }

    /// The last attempt at a target that failed.
    public struct LastFailure: Sendable, Equatable {
        /// Why.
        public var reason: String
        /// How long ago, milliseconds.
        public var milliseconds: UInt64
    }

    /// A target whose oldest record has waited too long.
    public struct Wait: Sendable, Equatable {
        /// For how long.
        public var milliseconds: UInt64
        /// Records that wait; nil if that is not known.
        public var records: UInt64?
        /// Of these, how many are delivered and not written down.
        public var unwritten: UInt64 = 0
        /// Attempts that failed since the last success.
        public var failures: UInt64 = 0
        /// Why the last attempt failed that did, and how long ago; nil if none is known to have.
        public var last: LastFailure?
        /// What keeps the coordinator from reading and writing; empty if nothing does.
        public var hindrance = ""

        /// Nothing is known but the time.
        public init(milliseconds: UInt64, records: UInt64? = nil) {
            self.milliseconds = milliseconds
            self.records = records
        }

        fileprivate func words(_ target: String, _ errorBytes: Int) -> String {
            let oldest = records.map { "the oldest of \($0) records" } ?? "the oldest record"
            var text = "\(oldest) for \(target) has waited \(milliseconds / 1_000) s"
            if unwritten > 0 { text += ", and \(unwritten) are delivered and not marked so" }
            if let last, failures > 0 {
                text += "; \(failures) attempts in a row failed there, the last one: \(last.reason.cut(errorBytes))"
            } else if let last {
                let ago = last.milliseconds / 1_000
                text += "; the last attempt that failed there, \(ago) s ago: \(last.reason.cut(errorBytes))"
            } else if hindrance.isEmpty {
                text += "; no attempt is known to have failed there"
            }
            return hindrance.isEmpty ? text : text + "; \(hindrance.cut(errorBytes))"
        }
    }
}

extension String {
    /// Whole characters from the beginning, at most so many bytes of UTF-8, with a mark if something is left out.
    fileprivate func cut(_ bytes: Int) -> String {
        guard utf8.count > bytes else { return self }
        var (end, count) = (startIndex, 0)
        while end < endIndex {
            count += self[end].utf8.count
            if count > bytes { break }
            end = index(after: end)
        }
        return String(self[..<end]) + "…"
    }
}

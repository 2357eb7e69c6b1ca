/// A time in which exporting does not work, from the moment it was found until everything works again and, where that is
/// asked for, a person has acknowledged it. Leaders come and go in between; the episode is the same, because it is kept
/// in the gate's record.
public struct Episode: Sendable, Equatable {
    /// Names an episode: no other has the same, since terms only grow and one leader counts on. Later ones are greater.
    public struct ID: Hashable, Sendable, Comparable {
        /// The term in which it began.
        public var term: UInt64
        /// Which of that term, from 1.
        public var number: UInt32

        /// Both parts.
        public init(term: UInt64, number: UInt32) {
            self.term = term
            self.number = number
        }

        /// Orders by the beginning.
        public static func < (a: ID, b: ID) -> Bool { (a.term, a.number) < (b.term, b.number) }
    }

    /// Its name.
    public var id: ID
    /// When it began, milliseconds since 1970 by the clock of the leader that found it. For people and for the alert's
    /// name; nothing is decided by it.
    public var since: UInt64
    /// What it began with, in words.
    public var cause: String

    /// All parts.
    public init(id: ID, since: UInt64, cause: String) {
        self.id = id
        self.since = since
        self.cause = cause
    }

    /// The name of its alert, the same for every leader: a DNS subdomain as Kubernetes demands (RFC 1123), such as
    /// `siem-export-degraded-prod-east-1764129672-7-1`. The cluster's name is written in lower case, everything but letters
    /// and digits as `-`, and cut to 100 bytes; then the beginning in seconds, the term and the number.
    public func alertName(cluster: String) -> String {
        var slug = ""
        for byte in cluster.utf8.prefix(100) {
            switch byte {
            case 0x30...0x39, 0x61...0x7A: slug.unicodeScalars.append(Unicode.Scalar(byte))
            case 0x41...0x5A: slug.unicodeScalars.append(Unicode.Scalar(byte | 0x20))
            default: slug += "-"
            }
        }
        return "\(Self.alertPrefix)\(slug)-\(since / 1_000)-\(id.term)-\(id.number)"
    }

    /// The episode that an alert of this name belongs to; nil if the name is not one of ``alertName(cluster:)``.
    public static func named(_ name: String) -> Episode? {
        guard name.hasPrefix(alertPrefix) else { return nil }
        let parts = name.split(separator: "-", omittingEmptySubsequences: false).suffix(3).map(String.init)
        guard parts.count == 3, let seconds = UInt64(parts[0]), let term = UInt64(parts[1]),
            let number = UInt32(parts[2]), seconds <= UInt64.max / 1_000
        else { return nil }
        return Episode(
            id: ID(term: term, number: number), since: seconds * 1_000, cause: "told by the alert \(name)")
    }

    private static let alertPrefix = "siem-export-degraded-"
}

/// What the gate Lease says. A Lease with this content, or none, is all that the API server looks at: it admits probe
/// Jobs while the holder is not empty and the last renewal is younger than the duration.
///
/// 1. A record may replace only one that is older by ``version``: a renewal that was under way for long cannot open what
///    was closed after it, nor can a leader of an earlier term open anything. The store compares and replaces in one
///    step (by the Lease's resourceVersion, or under the lock of its directory).
/// 2. The store sets the time of the renewal, at the moment it writes, and only if ``holder`` is not empty.
public struct GateRecord: Sendable, Equatable {
    /// Says which of two records is newer.
    public struct Version: Hashable, Sendable, Comparable {
        /// The leader's term; 0 for a record that nobody of ours wrote.
        public var term: UInt64
        /// Counts on with every write, across terms.
        public var sequence: UInt64

        /// Both parts.
        public init(term: UInt64, sequence: UInt64) {
            self.term = term
            self.sequence = sequence
        }

        /// Orders by age.
        public static func < (a: Version, b: Version) -> Bool { (a.term, a.sequence) < (b.term, b.sequence) }
    }

    /// Which of two is newer.
    public var version: Version
    /// `spec.holderIdentity`: the leader's identity; empty halts probing.
    public var holder: String
    /// `spec.leaseDurationSeconds`: how long a renewal counts.
    public var durationSeconds: UInt32
    /// What the gate is in.
    public var state: ExportGate.State
    /// Why, in words for people.
    public var reason: String
    /// Since when it is in that state, milliseconds since 1970 by the leader's clock.
    public var since: UInt64
    /// The running episode.
    public var episode: Episode?
    /// The last one that ended.
    public var ended: Episode.ID?
    /// When it was last renewed, milliseconds since 1970 by the clock of whoever did it. Only a store says so, of what it
    /// has: the store itself sets the time of what is written.
    public var renewed: UInt64?

    /// All parts.
    public init(
        version: Version, holder: String, durationSeconds: UInt32, state: ExportGate.State, reason: String,
        since: UInt64, episode: Episode? = nil, ended: Episode.ID? = nil
    ) {
        self.version = version
        self.holder = holder
        self.durationSeconds = durationSeconds
        self.state = state
        self.reason = reason
        self.since = since
        self.episode = episode
        self.ended = ended
    }

    /// Whether it admits probes as long as it is renewed.
    public var isOpen: Bool { !holder.isEmpty }

    /// Whether it may be written over `stored`; a store that finds it may not answers with what is stored.
    public func mayReplace(_ stored: GateRecord?) -> Bool { stored.map { $0.version < version } ?? true }

    /// Whether a renewal changes nothing but the time.
    func says(the other: GateRecord) -> Bool {
        var same = other
        same.version = version
        same.renewed = renewed
        return same == self
    }
}

extension GateRecord {
    /// Everything but holder and duration as annotations of the Lease.
    public var annotations: [String: String] {
        var texts = [
            Key.term: "\(version.term)", Key.sequence: "\(version.sequence)", Key.state: state.rawValue,
            Key.reason: reason, Key.since: "\(since)",
        ]
        if let episode {
            texts[Key.episode] = "\(episode.id.term).\(episode.id.number)"
            texts[Key.episodeSince] = "\(episode.since)"
            texts[Key.episodeCause] = episode.cause
        }
        if let ended { texts[Key.ended] = "\(ended.term).\(ended.number)" }
        return texts
    }

    /// Reads a Lease. What somebody else made of it counts as the oldest of all versions, and what cannot be read as not
    /// there: the alerts then tell of a running episode.
    public init(holder: String, durationSeconds: UInt32, annotations: [String: String]) {
        let episode = annotations[Key.episode].flatMap(Self.id).map { id in
            Episode(
                id: id, since: annotations[Key.episodeSince].flatMap { UInt64($0) } ?? 0,
                cause: annotations[Key.episodeCause] ?? "")
        }
        self.init(
            version: Version(
                term: annotations[Key.term].flatMap { UInt64($0) } ?? 0,
                sequence: annotations[Key.sequence].flatMap { UInt64($0) } ?? 0),
            holder: holder, durationSeconds: durationSeconds,
            state: annotations[Key.state].flatMap { ExportGate.State(rawValue: $0) } ?? .unknown,
            reason: annotations[Key.reason] ?? "", since: annotations[Key.since].flatMap { UInt64($0) } ?? 0,
            episode: episode, ended: annotations[Key.ended].flatMap(Self.id))
    }

    private static func id(_ text: String) -> Episode.ID? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let term = UInt64(parts[0]), let number = UInt32(parts[1]) else { return nil }
        return Episode.ID(term: term, number: number)
    }

    private enum Key {
        static let term = "export.sidereal.cloud/gate-term"
        static let sequence = "export.sidereal.cloud/gate-sequence"
        static let state = "export.sidereal.cloud/gate-state"
        static let reason = "export.sidereal.cloud/gate-reason"
        static let since = "export.sidereal.cloud/gate-since"
        static let episode = "export.sidereal.cloud/episode"
        static let episodeSince = "export.sidereal.cloud/episode-since"
        static let episodeCause = "export.sidereal.cloud/episode-cause"
        static let ended = "export.sidereal.cloud/ended-episode"
    }
}

import Model

/// Writes the gate's record, one version after the other, and knows until when it may admit probes.
///
/// 1. What has to be said is written at once, whatever else is under way; the versions keep the order.
/// 2. A record that admits probes is renewed at a third of its duration, and only when told that it may.
/// 3. Nothing is written before the stored record was read, nor after a record of a later term was seen.
struct GateKeeper: Sendable {
    private struct Writing {
        var record: GateRecord
        var begun: Tick
    }

    let term: UInt64
    let identity: String
    let durationSeconds: UInt32
    private let answer: UInt64
    private let retry: UInt64
    /// What the store has for certain; nil if it has none, or was not read yet.
    private(set) var stored: GateRecord?
    private var sequence: UInt64 = 0
    private var writing: Writing?
    private var notBefore = Tick(nanoseconds: 0)
    /// When the last renewal that was carried out began.
    private var renewed: Tick?
    /// No renewal of ours, nor of a leader before us, admits anything from here on.
    private var closesBy: Tick
    private(set) var hasRead = false
    /// The term of the stored record, if it is later than ours.
    private(set) var outrankedBy: UInt64?

    /// At the beginning of `term`.
    init(term: UInt64, identity: String, settings: ExportGateSettings, now: Tick) {
        self.term = term
        self.identity = identity
        durationSeconds = settings.leaseSeconds
        answer = settings.answer
        retry = settings.retry
        // The leader before us may have renewed just before it was deposed.
        closesBy = now.adding(milliseconds: UInt64(settings.leaseSeconds) * 1_000)
    }

    private var duration: UInt64 { UInt64(durationSeconds) * 1_000 }
    /// Time between renewals, and the longest that a renewal may lie before it is carried out.
    var renewal: UInt64 { duration / 3 }

    /// Takes what the store has.
    mutating func read(_ record: GateRecord?) {
        hasRead = true
        stored = record
        outrankedBy = record.flatMap { $0.version.term > term ? $0.version.term : nil }
        guard let record else { return }
        sequence = max(sequence, record.version.sequence)
    }

    /// Version `version` was written.
    mutating func wrote(_ version: GateRecord.Version, now: Tick) {
        guard let writing, writing.record.version == version else { return }
        stored = writing.record
        if writing.record.isOpen {
            renewed = writing.begun
            closesBy = now.adding(milliseconds: duration)
        }
        self.writing = nil
    }

    /// The store has something newer.
    mutating func refused(by record: GateRecord) {
        writing = nil
        read(record)
    }

    /// Version `version` may or may not have been written.
    mutating func failed(_ version: GateRecord.Version, now: Tick) {
        guard writing?.record.version == version else { return }
        mayHaveLanded()
        writing = nil
        notBefore = now.adding(milliseconds: retry)
    }

    /// Whether nothing admits probes any more: the store says so, or every renewal has run out.
    func isClosed(now: Tick) -> Bool {
        if closesBy <= now, writing?.record.isOpen != true { return true }
        return stored.map { !$0.isOpen && $0.version.term == term } ?? false
    }

    /// Whether the store's record, and not only our wish, admits probes now.
    func isOpen(now: Tick) -> Bool { stored?.isOpen == true && stored?.version.term == term && now < closesBy }

    /// The write that brings the store to `wanted`, whose version is ignored; nil if there is nothing to do now, or if
    /// it admits probes and must not.
    mutating func next(_ wanted: GateRecord, mayOpen: Bool, now: Tick) -> GateRecord? {
        guard hasRead, outrankedBy == nil, mayOpen || !wanted.isOpen else { return nil }
        if let writing, writing.record.says(the: wanted) {
            guard now >= writing.begun.adding(milliseconds: min(answer, renewal)) else { return nil }
        } else if writing == nil {
            guard now >= notBefore else { return nil }
            if let stored, stored.version.term == term, stored.says(the: wanted), !isDue(wanted, now) { return nil }
        }
        mayHaveLanded()
        sequence += 1
        var record = wanted
        record.version = GateRecord.Version(term: term, sequence: sequence)
        writing = Writing(record: record, begun: now)
        return record
    }

    private func isDue(_ wanted: GateRecord, _ now: Tick) -> Bool {
        guard wanted.isOpen else { return false }
        return renewed.map { now >= $0.adding(milliseconds: renewal) } ?? true
    }

    /// A renewal without an answer may have been carried out, at the latest when it had to be begun.
    private mutating func mayHaveLanded() {
        guard let writing, writing.record.isOpen else { return }
        closesBy = max(closesBy, writing.begun.adding(milliseconds: renewal + duration))
    }
}

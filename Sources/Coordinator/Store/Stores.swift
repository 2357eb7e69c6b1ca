public import ExportCore
public import Model
public import Protocol

/// In whose name something is written: the holder of the lease in one term. A store refuses it once the lease is
/// anybody else's, or the same holder's in another term.
public struct Fence: Sendable, Equatable {
    /// The leader's identity, as in its lease.
    public var holder: String
    /// Its term.
    public var term: UInt64

    /// Both parts.
    public init(holder: String, term: UInt64) {
        self.holder = holder
        self.term = term
    }
}

/// Why a store did not do what it was asked for.
public struct StoreError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Kinds of reasons.
    public enum Kind: Sendable, Equatable {
        /// The lease is not ours any more. Nothing was written, and nothing more will be in this term.
        case fenced
        /// What is stored was written in a later term than ours: the lease must be taken again, in a higher one.
        case superseded(by: UInt64)
        /// It took too long. To be tried again.
        case busy
        /// It came after the time by which it was to be done. Nothing was written.
        case late
        /// There is no room. Nothing counts as written; to be tried again.
        case full
        /// Something else; to be tried again, but a person has to look.
        case unusable
    }

    /// The kind.
    public var kind: Kind
    /// What happened, where, why, and what to do.
    public var description: String

    /// A refusal in words.
    public init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}

/// Where the lease of the leader lies.
///
/// Writes are atomic and conditional on a version; a reading sees every write that was carried out before it began.
public protocol LeaseStore: Sendable {
    /// The lease as of now.
    func readLease() async throws(StoreError) -> LeaseState

    /// Writes the lease if it still has the version `replacing`, or if `replacing` is nil and there is none. The version
    /// written; nil if the lease is not what it was. After an error it may have been written all the same.
    func writeLease(_ record: LeaseRecord, replacing: LeaseVersion?) async throws(StoreError) -> LeaseVersion?

    /// Returns when the lease seems not to be in version `since` any more, or after a time, and says which.
    func waitForLeaseChange(since: LeaseVersion?, milliseconds: UInt64) async -> Bool
}

/// Where the gate's record lies.
public protocol GateStore: Sendable {
    /// The record as of now; nil if there is none.
    func readGate() async throws(StoreError) -> GateRecord?

    /// Writes the record if it may replace what is stored (``GateRecord/mayReplace(_:)``), with the time of now if it
    /// admits probes. Nil if it was written, else what is stored.
    ///
    /// The time it writes down is taken before `deadline`, or nothing is written and the error is `late`: what was asked
    /// for before a long pause must not hold after it.
    func writeGate(_ record: GateRecord, fence: Fence, before deadline: Tick) async throws(StoreError) -> GateRecord?
}

/// Where alerts lie, and people acknowledge them.
public protocol AlertStore: Sendable {
    /// All alerts of episodes (``Episode/named(_:)``), the newest first, at most 100. However many others there are, and whatever
    /// they are like: they must not keep a leader from knowing its own.
    func readAlerts() async throws(StoreError) -> [SystemAlert]

    /// The alert of this name.
    func readAlert(name: String) async throws(StoreError) -> SystemAlert?

    /// Makes the alert if there is none of its name, and answers with what is there. Never changes one that exists.
    func createAlert(_ alert: SystemAlert, fence: Fence) async throws(StoreError) -> SystemAlert
}

/// Where people are told of changes of the gate, besides the log.
public protocol GateEventStore: Sendable {
    /// Tells of a change that `holder` decided while it led, once however often it is asked to. Not fenced, for nobody acts upon
    /// an event, and what was decided in a term stays true after it: it may be told when the term is long over.
    func tell(_ change: ExportGate.Transition, holder: String) async throws(StoreError)

    /// The last changes that were told, by whoever led, oldest first; at most ``GateChange/most``. Nil where they are not to be had.
    func recorded() async throws(StoreError) -> [GateChange]?
}

extension GateEventStore {
    /// Not to be had.
    public func recorded() async throws(StoreError) -> [GateChange]? { nil }
}

/// One thing to write down about results.
public enum StatusEntry: Sendable {
    /// What became of records at a target.
    case facts(Dispatch.Facts)
    /// Everything of a source is settled for all targets.
    case finished(source: UInt64)
}

/// Where it is kept for good what became of results.
///
/// Where every result is an object of its own, a fact becomes a patch of that object. What such a patch needs besides
/// (name, namespace, the version last seen) is known to whoever reads the results, by the record's key; so a store of
/// that kind and its ``ResultSource`` are made together, as ``FileClusterStore`` and ``ResultDirectory`` are.
public protocol StatusStore: Sendable {
    /// How it is to be used.
    var manner: StatusManner { get }

    /// Of how many results the status is not taken, and why for the last of them.
    var refusals: (count: UInt64, last: String) { get }

    /// For a new leader: what is settled of the results at `targets`, as far as the store and not its source knows it.
    func takeOver(fence: Fence, targets: [String]) async throws(StoreError) -> SettledSources

    /// What ``write(_:fence:)`` will be asked to write: it may as well be written along with something else before. Of what it
    /// is not asked to write after all, nothing may be kept for good.
    func foresee(_ entries: [StatusEntry])

    /// Writes entries down, all of them, in order. Kept for good when it returns. After an error nothing counts as
    /// written, though some of it may be: facts are facts, so it does no harm to write them again.
    func write(_ entries: [StatusEntry], fence: Fence) async throws(StoreError)

    /// Tries again what could not be written while other things could, as far as that is due. It counts as written, and in the
    /// source's backlog. Asked for every second, beside ``write(_:fence:)``.
    func retry(fence: Fence) async
}

/// How a ``StatusStore`` is to be used.
public struct StatusManner: Sendable, Equatable {
    /// How long entries wait for company, milliseconds: facts of all targets about a result become one write.
    public var lingerMilliseconds: UInt64 = 0
    /// Past so many records whose outcome is not written, no more are read.
    public var mostUnwritten = 1 << 20
    /// Past so many records, one write becomes several.
    public var mostAtOnce = Int.max
    /// Its source shows with each result what is settled: the leader remembers nothing of those that are not in hand.
    public var forgetsSources = false

    /// Of a journal.
    public init() {}
}

extension StatusStore {
    /// As a journal's.
    public var manner: StatusManner { StatusManner() }

    /// Of a journal, which is written in order.
    public func foresee(_ entries: [StatusEntry]) {}

    /// Of a journal, which takes everything.
    public var refusals: (count: UInt64, last: String) { (0, "") }

    /// Of a journal, which takes everything.
    public func retry(fence: Fence) async {}
}

/// Where results come from, for one leader in one term.
public protocol ResultSource: Sendable {
    /// What comes next, for targets that have room: one thing after the other, until `bytes` of records were read; empty if
    /// there is nothing now. As long as it throws, ``backlog()`` says of every target that something waits: what nobody can
    /// look at is not delivered.
    func next(hasRoom: [Bool], bytes: Int) async throws(StoreError) -> [ResultEvent]

    /// Has `ring` called whenever there may be something new, until it is closed. Who asks from time to time needs it not.
    func setAlarm(_ ring: @escaping @Sendable () -> Void) async

    /// What of each target was not handed over yet. What cannot be read counts as well, for longer and longer.
    func backlog() async -> [SourceBacklog]

    /// How many inputs somebody has begun with, and how many nobody has.
    func inputs() async -> SourceInputs

    /// Something became of these records at these targets, and no page had them: they are to be looked for, in place of those
    /// that were told before. ``ResultEvent/looked(_:)`` says that it was done.
    func seek(_ records: [RecordKey: SoughtRecord]) async

    /// Of which sources pages are still to come; nil if that is not known, or does not matter.
    func readable() async -> ReadableSources?

    /// Everything of `source` is settled and written down: it may be forgotten.
    func finished(source: UInt64) async

    /// Gives back what it holds; nothing may be asked after.
    func close() async
}

extension ResultSource {
    /// Whoever remembers what is settled has nothing to look for.
    public func seek(_ records: [RecordKey: SoughtRecord]) async {}

    /// Whoever is told what to look for has no need to say it.
    public func readable() async -> ReadableSources? { nil }

    /// Nothing rings.
    public func setAlarm(_ ring: @escaping @Sendable () -> Void) async {}
}

/// What a source has to say.
public enum ResultEvent: Sendable {
    /// Records to deliver.
    case page(FeedPage)
    /// The target was shown everything that there is.
    case passed(target: Int)
    /// These were looked for: a page came with each that is not settled at the targets, or only as given up and delivered since.
    case looked([RecordKey: SoughtRecord])
    /// Everything of a source is settled for all targets, and that is not written down.
    case settled(source: UInt64)
    /// A settled source was removed, so long ago that it need not be remembered.
    case gone(source: UInt64)
    /// Something for the log: what it is about, why, and what to do.
    case note(String)
}

/// Inputs that are not settled.
public struct SourceInputs: Sendable, Equatable {
    /// At least one target has read of them.
    public var begun: Int
    /// No target has.
    public var waiting: Int
    /// Of these, how many cannot be read.
    public var unread = 0
    /// Why one of them, or everything, cannot be read; empty if nothing hinders.
    public var trouble = ""

    /// Both parts.
    public init(begun: Int, waiting: Int) {
        self.begun = begun
        self.waiting = waiting
    }
}

/// What of a target was not handed over yet.
public struct SourceBacklog: Sendable, Equatable {
    /// Records, by the average length of those read so far; zero only if there are none.
    public var records: UInt64
    /// How long the oldest has waited, milliseconds; nil if there is none.
    public var oldestMilliseconds: UInt64?
    /// Of the records, those that are delivered and cannot be written down.
    public var unwritten: UInt64

    /// All parts.
    public init(records: UInt64, oldestMilliseconds: UInt64?, unwritten: UInt64 = 0) {
        self.records = records
        self.oldestMilliseconds = oldestMilliseconds
        self.unwritten = unwritten
    }

    /// The same when nothing can be written for so many milliseconds: then something is not exported for as long, and in the
    /// end nothing is read either, so that nobody would see what waits.
    package func held(by stuck: UInt64?) -> SourceBacklog {
        guard let stuck else { return self }
        return SourceBacklog(
            records: max(1, records), oldestMilliseconds: max(oldestMilliseconds ?? 0, stuck), unwritten: unwritten)
    }
}

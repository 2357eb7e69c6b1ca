public import Model

/// What was accepted where, how far each input was settled, and what was given up: in one SQLite file,
/// `ledger.db`, in the state directory.
///
/// Promises:
/// 1. When ``commit(_:)`` returns, its changes survive the death of the process and of the machine's power, at any
///    instruction, as far as the disk keeps what it has synchronized.
/// 2. The changes of one ``commit(_:)`` count all or not at all, and commits count in the order they were asked
///    for: after a crash a prefix of them is there, with every one that had returned.
/// 3. When ``commit(_:)`` throws, nothing of it counts while this process runs, and the ledger can be used again.
///    Should the process then die at once, the changes may be found committed after all: they are facts, told
///    twice.
/// 4. One exporter at a time uses a state directory; a second one is refused with the first one's process id. Beside it
///    people may look at dead letters (``DeadLetterReader``), and one at a time may remove or retry some: what an
///    exporter remembers of the ledger between its transactions does not speak of dead letters.
/// 5. One interval per target and source while work settles in order; each gap costs one more.
///
/// It does not promise to notice every accident to the file: SQLite's structure is checked at opening, and positions,
/// committed lengths and dead letters carry checksums, but the texts beside them do not.
///
/// Calls are answered in the order they were made, and a cancelled task gets its answer all the same: what was asked
/// is done.
public final class Ledger: Sendable {
    private let thread: LedgerThread

    private init(_ thread: LedgerThread) { self.thread = thread }

    deinit {
        thread.stop { _ in }
    }

    /// Opens the ledger in `directory`, which is created if need be, and checks it.
    ///
    /// - Throws: `LedgerError`: `.locked`, `.notWritable`, `.diskFull`, `.corrupt`, `.newerSchema`, `.notALedger`,
    ///   `.inputOutput`, `.other`.
    public static func open(
        directory: String, limits: Limits = Limits()
    ) async throws(LedgerError) -> Ledger {
        try await open(directory: directory, options: LedgerOptions(limits))
    }

    static func open(directory: String, options: LedgerOptions) async throws(LedgerError) -> Ledger {
        try await open { () throws(LedgerError) in try LedgerStore(directory: directory, options: options) }
    }

    /// Opens the ledger in `directory` to remove dead letters or to try them again, if need be beside the exporter that
    /// works with it; see ``exporter()``. Only one process at a time has it so.
    ///
    /// - Throws: as ``open(directory:)``; `.missing` if there is none.
    public static func openForDeadLetters(
        directory: String, limits: Limits = Limits()
    ) async throws(LedgerError) -> Ledger {
        try await open { () throws(LedgerError) in
            try LedgerStore(directory: directory, use: .removingDeadLetters, options: LedgerOptions(limits))
        }
    }

    private static func open(_ make: @escaping LedgerThread.Opening) async throws(LedgerError) -> Ledger {
        let thread = LedgerThread()
        let opened = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Void, LedgerError>, Never>) in
            thread.start(open: make, opened: { continuation.resume(returning: $0) })
        }
        try opened.get()
        return Ledger(thread)
    }

    /// Remembers `changes`, all or none, and returns when they are on the disk.
    ///
    /// - Throws: `LedgerError`: `.diskFull`, `.inputOutput`, `.corrupt`; `.invalid` for a negative count or a position
    ///   over 2^63-1; `.closed`. Commits that were grouped with a failed one fail with it.
    public func commit(_ changes: [LedgerChange]) async throws(LedgerError) {
        for change in changes { try change.validate() }
        guard !changes.isEmpty else { return }
        let thread = thread
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Void, LedgerError>, Never>) in
            thread.commit(changes) { continuation.resume(returning: $0) }
        }
        try result.get()
    }

    /// The sources ever seen at `path`, the latest first. The one whose fingerprint equals the hash of the file's
    /// first `fingerprintLength` bytes is the same input.
    public func knownSources(path: String) async throws(LedgerError) -> [KnownSource] {
        try await ask { store throws(LedgerError) in try store.knownSources(path: path) }
    }

    /// Adds a source and returns its number when it is on the disk; the number it has already, if it is known.
    public func addSource(_ identity: SourceIdentity) async throws(LedgerError) -> SourceID {
        try await ask { store throws(LedgerError) in try store.addSource(identity) }
    }

    /// What is settled of `source` for `target`: accepted, given up, or refused at intake.
    public func progress(target: String, source: SourceID) async throws(LedgerError) -> PositionSet {
        try await ask { store throws(LedgerError) in try store.loaded(target, source) }
    }

    /// What `target` accepted of `source`, or of all sources together.
    public func totals(target: String, source: SourceID? = nil) async throws(LedgerError) -> AcceptedTotals {
        try await ask { store throws(LedgerError) in try store.totals(target: target, source: source) }
    }

    /// The output file of `target` and how many of its bytes count.
    public func fileLength(target: String) async throws(LedgerError) -> (path: String, length: UInt64)? {
        try await ask { store throws(LedgerError) in try store.fileLength(target: target) }
    }

    /// The batches of `target` that left and are not settled, the oldest first.
    public func batchesInFlight(target: String) async throws(LedgerError) -> [BatchInFlight] {
        try await ask { store throws(LedgerError) in try store.flights(target: target) }
    }

    /// What was told and not forgotten, in order, and a number above every one that was ever used.
    public func toldRows() async throws(LedgerError) -> (rows: [ToldRow], next: UInt64) {
        try await ask { store throws(LedgerError) in try store.toldRows() }
    }

    /// The first `limit` letters of `target` and `source` that were delivered after all, as by `dead-letters retry` beside this
    /// process, and of which no row tells the leader: ``LedgerChange/revivalsTold(_:)`` goes with that row.
    public func revivedLetters(
        target: String, source: SourceID, limit: Int
    ) async throws(LedgerError) -> [RevivedLetter] {
        try await ask { store throws(LedgerError) in try store.revivedLetters(target, source, limit: limit) }
    }

    /// Dead letter `id`.
    public func deadLetter(id: Int64) async throws(LedgerError) -> DeadLetter? {
        try await ask { store throws(LedgerError) in try store.deadLetter(id: id) }
    }

    /// The first `limit` dead letters of `target`, or of all, whose number is over `after`; oldest first. Each may
    /// hold up to `Limits.maxDeadLetterBytes`.
    public func deadLetters(
        target: String? = nil, after: Int64 = 0, limit: Int
    ) async throws(LedgerError) -> [DeadLetter] {
        try await ask { store throws(LedgerError) in
            try store.deadLetters(target: target, after: after, limit: limit)
        }
    }

    /// How many dead letters `target` has, or all together.
    public func deadLetterCount(target: String? = nil) async throws(LedgerError) -> Int {
        try await ask { store throws(LedgerError) in try store.deadLetterCount(target: target) }
    }

    /// How many dead letters `target` has of `sources` together; the intake, if its name is empty.
    public func deadLetterCount(target: String, sources: Set<SourceID>) async throws(LedgerError) -> Int {
        try await ask { store throws(LedgerError) in try store.deadLetterCount(target: target, sources: sources) }
    }

    /// The exporter that works with the ledger beside us: its process id, 0 if that is not known. Nil if there is none,
    /// and none can start as long as this ledger is open.
    public func exporter() async throws(LedgerError) -> Int32? {
        try await ask { store throws(LedgerError) in store.exporter }
    }

    /// Finishes what was asked before, closes the file and releases the state directory. Whatever comes later is
    /// answered with `.closed`; closing again does nothing. A ledger that is merely released closes itself, later.
    ///
    /// - Throws: `LedgerError` if the write-ahead log could not be moved into the database, for want of space for
    ///   example. Nothing is lost by that: the next opener does it.
    public func close() async throws(LedgerError) {
        let thread = thread
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Void, LedgerError>, Never>) in
            thread.stop { continuation.resume(returning: $0) }
        }
        try result.get()
    }

    private func ask<R: Sendable>(
        _ body: @escaping @Sendable (LedgerStore) throws(LedgerError) -> R
    ) async throws(LedgerError) -> R {
        let thread = thread
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<R, LedgerError>, Never>) in
            thread.work { store in
                do throws(LedgerError) {
                    continuation.resume(returning: .success(try body(store.get())))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }
}

public import CoreMetrics
import ExportCore
import KubernetesAPI
public import Logging
import Model
import Protocol
import Synchronization
import Telemetry
import Threading

/// What became of results, in the results themselves: `spec.audit` and the annotation of ``KubernetesStatusText``, both in one
/// merge patch. It is made together with the ``KubernetesResultsSource`` of each term, which knows where the objects are.
///
/// Promises, besides those of ``StatusRound``:
/// 1. Before a round and before every request of it, it is made certain that the lease is the writer's, which costs nothing while
///    it is renewed; what a request says that was on its way by then is a fact whoever writes it, and an object that somebody else
///    has changed meanwhile is not touched (invariant 2).
/// 2. At most `concurrency` requests are under way.
/// 3. After a failure nothing is asked for a while, longer and longer; after one that may be one object's own, half a second.
/// 4. What the server does not take is tried again beside everything else (``retry(fence:)``).
public final class KubernetesStatusStore: StatusStore {
    private let cluster: KubernetesCluster
    private let log: Logger
    private let metrics: (any MetricsFactory)?
    private let troubles = Mutex(StatusTroubles())
    private let concurrency: Int
    private let namespace: String?
    private let current = Mutex<KubernetesResultsHands?>(nil)
    private let pause = Mutex(Pause())
    private static let patchMilliseconds: UInt64 = 15_000
    /// Of what is aside, so many are asked for at once: a webhook that hangs takes none of the others' places.
    private static let asideConcurrency = 2

    private struct Pause {
        var milliseconds: UInt64 = 0
        var until = Tick(nanoseconds: 0)
    }

    /// - Parameters:
    ///   - namespace: of the results; nil: all.
    ///   - concurrency: as many as the client takes at once: more would only wait for one another.
    ///   - metrics: where to count what is not written.
    public init(
        _ cluster: KubernetesCluster, namespace: String? = nil, concurrency: Int = 8,
        log: Logger = Logger(label: "status"), metrics: (any MetricsFactory)? = nil
    ) {
        self.cluster = cluster
        self.namespace = namespace
        self.concurrency = max(1, concurrency)
        self.log = log
        self.metrics = metrics
    }

    /// Facts wait for those of other targets, and few of them are kept.
    public var manner: StatusManner {
        var manner = StatusManner()
        manner.lingerMilliseconds = 300
        manner.mostUnwritten = 16 << 10
        manner.mostAtOnce = 1 << 10
        manner.forgetsSources = true
        return manner
    }

    /// A patch says all that is told of its result by then.
    public func foresee(_ entries: [StatusEntry]) { current.withLock { $0 }?.foresee(entries) }

    /// Results whose status the API server does not take, and what it said to the last of them.
    public var refusals: (count: UInt64, last: String) {
        let count = current.withLock { $0 }?.asideCount ?? 0
        return (count, count == 0 ? "" : troubles.withLock { $0.last })
    }

    /// Begins a term. What is settled is shown by the results.
    public func takeOver(fence: Fence, targets: [String]) async throws(StoreError) -> SettledSources {
        try await cluster.require(fence)
        current.withLock { $0 = KubernetesResultsHands(targets: targets) }
        return SettledSources(targets: targets)
    }

    /// The results, for the leader of the term that began last.
    ///
    /// - Parameter settled: what ``takeOver(fence:targets:)`` gave.
    public func results(settled: SettledSources, shardCount: UInt16, seed: UInt64) -> KubernetesResultsSource {
        let hands = current.withLock { known in
            let hands = known ?? KubernetesResultsHands(targets: settled.targets)
            known = hands
            return hands
        }
        return KubernetesResultsSource(cluster, hands, namespace: namespace, shardCount: shardCount, seed: seed)
    }

    /// One round: a patch for each result that entries speak of and that does not say it already.
    public func write(_ entries: [StatusEntry], fence: Fence) async throws(StoreError) {
        guard let hands = current.withLock({ $0 }) else {
            throw StoreError(.unusable, "outcomes of results came before the term began")
        }
        if pause.withLock({ SystemClock.now() < $0.until }) {
            throw StoreError(.busy, "the API server is left alone for a while after a failure")
        }
        try await cluster.require(fence)
        let writing = hands.writing(entries)
        let turn = Turn(writing.round, hands)
        await carryOut(turn, hands, fence, concurrency: concurrency)
        let round = turn.round
        let (isDone, aside) = hands.finish(writing, round, now: SystemClock.now())
        for key in aside {
            guard let place = hands.place(of: key) else { continue }
            tell(
                turn.words(about: key) ?? "\(place.namespace)/\(place.name) is changed by others all the time",
                place.name)
        }
        if let error = turn.error {
            rest(after: turn.retryAfter, isLonger: round.writtenCount == 0)
            if !isDone { throw error }
        } else {
            pause.withLock { $0.milliseconds = 0 }
            if !isDone {
                throw StoreError(.busy, "others change results at the same time; their status is written once more")
            }
        }
    }

    /// Tries again what the server does not take, as far as it is due.
    public func retry(fence: Fence) async {
        guard let hands = current.withLock({ $0 }), let writing = hands.writingAside(now: SystemClock.now()) else {
            return
        }
        let turn = Turn(writing.round, hands)
        await carryOut(turn, hands, fence, concurrency: Self.asideConcurrency)
        hands.finishAside(writing, turn.round, now: SystemClock.now())
    }

    private func carryOut(
        _ turn: Turn, _ hands: KubernetesResultsHands, _ fence: Fence, concurrency: Int
    ) async {
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<min(concurrency, turn.round.count) {
                group.addTask { await self.work(turn, hands, fence) }
            }
        }
    }

    private func rest(after wanted: UInt64?, isLonger: Bool) {
        pause.withLock { pause in
            pause.milliseconds = isLonger ? min(max(2 * pause.milliseconds, 500), 30_000) : 500
            pause.until = SystemClock.now().adding(milliseconds: max(pause.milliseconds, wanted ?? 0))
        }
    }

    /// What those who ask at once share.
    private final class Turn: Sendable {
        private struct State {
            var round: StatusRound
            var error: StoreError?
            var retryAfter: UInt64?
            /// Of objects that may have a trouble of their own.
            var words: [RecordKey: String] = [:]
        }

        private let state: Mutex<State>
        private let hands: KubernetesResultsHands

        init(_ round: StatusRound, _ hands: KubernetesResultsHands) {
            state = Mutex(State(round: round))
            self.hands = hands
        }

        var round: StatusRound { state.withLock { $0.round } }
        var error: StoreError? { state.withLock { $0.error } }
        var retryAfter: UInt64? { state.withLock { $0.retryAfter } }

        /// The next step, and whether the lease is to be looked at before it.
        func next() -> StatusRound.Step? {
            state.withLock { state in
                // What is there already as it is to be needs no request.
                var ended: [(RecordKey, StatusRound.End)] = []
                return state.round.next(&ended, besides: hands.foretold)
            }
        }

        func words(about key: RecordKey) -> String? { state.withLock { $0.words[key] } }

        func answer(_ key: RecordKey, _ answer: StatusRound.Answer) -> StatusRound.End? {
            state.withLock { $0.round.answer(key, answer) }
        }

        func fail(_ key: RecordKey, _ error: StoreError, _ retryAfter: UInt64?, _ answer: StatusRound.Answer) {
            state.withLock { state in
                _ = state.round.answer(key, answer)
                if answer != .failed { state.words[key] = error.description }
                state.error = state.error ?? error
                state.retryAfter = max(state.retryAfter ?? 0, retryAfter ?? 0)
            }
        }
    }

    private func work(_ turn: Turn, _ hands: KubernetesResultsHands, _ fence: Fence) async {
        while let step = turn.next() {
            switch step {
            case .read(let key), .patch(let key, _):
                do throws(StoreError) {
                    try await cluster.require(fence)
                } catch {
                    turn.fail(key, error, nil, .failed)
                    return
                }
            }
            switch step {
            case .read(let key): await look(key, turn, hands)
            case .patch(let key, let seen): await patch(key, seen, turn, hands)
            }
        }
    }

    private func look(_ key: RecordKey, _ turn: Turn, _ hands: KubernetesResultsHands) async {
        guard let place = hands.place(of: key) else { return end(key, .gone, turn, hands) }
        do throws(APIFailure) {
            var call = APICall(.get, .probeResults, namespace: place.namespace, name: place.name)
            call.milliseconds = Self.patchMilliseconds
            // Another one of this name is not the one that was delivered.
            let object = try await cluster.client.send(call)
            guard let (batch, entry) = Self.read(object) else {
                refused(APIFailure(.unreadable, "\(call): the answer is no result that can be read"), place.name)
                return end(key, .refused, turn, hands)
            }
            guard entry.key == key else { return end(key, .gone, turn, hands) }
            let seen = KubernetesStatusText.seen(batch, entry, targets: hands.targets)
            hands.saw(key, seen, entry.revision)
            end(key, .found(seen), turn, hands)
        } catch {
            if Self.isMissing(place.name, error) { return end(key, .gone, turn, hands) }
            fail(key, error, turn)
        }
    }

    private func fail(_ key: RecordKey, _ error: APIFailure, _ turn: Turn) {
        count(error, "retried")
        turn.fail(key, StoreError(error), error.retryAfter, Self.answer(error))
    }

    /// What a failure says. It may be for the sake of one object: an error that the server gives for it, as when a webhook fails, or
    /// no answer in time. An etcd without room, a missing permission, no connection, and too many requests are everybody's.
    static func answer(_ failure: APIFailure) -> StatusRound.Answer {
        switch failure.kind {
        case .serverError: StoreError(failure).kind == .full ? .failed : .troubled
        case .unreadable: .troubled
        case .noAnswer: .unanswered
        default: .failed
        }
    }

    private func refused(_ error: APIFailure, _ name: String) {
        count(error, "refused")
        tell(error.description, name)
    }

    private func tell(_ cause: String, _ name: String) {
        guard let told = troubles.withLock({ $0.refused(cause, name: name, now: SystemClock.now()) }) else { return }
        log.error(
            "the status of a result is not taken by the API server; it is tried again beside the others, and the result counts as not delivered until then",
            metadata: ["cause": "\(cause)", "count": "\(told.count)"])
    }

    private func count(_ error: APIFailure, _ outcome: String) {
        guard let metrics else { return }
        ExportMetrics.clusterStatusFailures.counter(outcome, StatusTroubles.label(error.code), in: metrics).increment()
    }

    /// Whether it is this object that is not there, and not all of its kind, as while a server starts.
    private static func isMissing(_ name: String, _ failure: APIFailure) -> Bool {
        failure.kind == .notFound && failure.description.contains("\"\(name)\" not found")
    }

    private func patch(
        _ key: RecordKey, _ seen: StatusRound.Seen, _ turn: Turn, _ hands: KubernetesResultsHands
    ) async {
        guard let place = hands.place(of: key) else { return end(key, .gone, turn, hands) }
        let body = KubernetesStatusText.patch(
            seen, of: key, targets: hands.targets, milliseconds: SystemClock.unixMilliseconds())
        let asked = SystemClock.now()
        do throws(APIFailure) {
            let stored = try await cluster.client.patch(
                .probeResults, namespace: place.namespace, name: place.name, patch: body,
                milliseconds: Self.patchMilliseconds)
            // Nothing follows what is exported, so its version is not looked for.
            if seen.status.state == .exported { hands.exported(key, seen.status, asked: asked) }
            guard seen.status.state != .exported, let (batch, entry) = Self.read(stored) else {
                return end(key, .written(version: nil), turn, hands)
            }
            end(key, .written(version: batch.resourceVersion(entry)), turn, hands, revision: entry.revision)
        } catch {
            switch error.kind {
            case .conflict: end(key, .conflict, turn, hands)
            case .notFound where Self.isMissing(place.name, error): end(key, .gone, turn, hands)
            // Of this object: others may be as the server wants them. A missing permission is everybody's.
            case .rejected, .tooLarge, .forbidden(nil):
                refused(error, place.name)
                end(key, .refused, turn, hands)
            default: fail(key, error, turn)
            }
        }
    }

    private func end(
        _ key: RecordKey, _ answer: StatusRound.Answer, _ turn: Turn, _ hands: KubernetesResultsHands,
        revision: UInt64 = 0
    ) {
        if let end = turn.answer(key, answer) { hands.ended(key, end, revision: revision) }
    }

    private static func read(_ object: [UInt8]) -> (batch: ObjectBatch, entry: ObjectEntry)? {
        guard let batch = try? ObjectBatch(object: object), let entry = batch.entries.first else { return nil }
        return (batch, entry)
    }
}

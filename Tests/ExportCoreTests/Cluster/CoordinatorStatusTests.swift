import ExportCore
import Model
import Protocol
import Testing

@testable import ExportCoreWorlds

@Suite struct CoordinatorStatusTests {
    private static func at(_ milliseconds: UInt64) -> Tick { Tick(nanoseconds: milliseconds * 1_000_000) }
    private static let targets = ["splunk", "search"]

    private static func leader(isFirstTerm: Bool = true) -> CoordinatorCore {
        let membership = Membership.Settings(
            leader: "c0", term: 7, versions: 1...1, shardCount: 16, targets: targets)
        return CoordinatorCore(
            .init(membership: membership, isFirstTerm: isFirstTerm, cluster: "prod", gate: ExportGateSettings()),
            index: SettledIndex(targetCount: 2), leadUntil: at(1_000_000), now: at(0))
    }

    private static func hello(_ name: String, capacity: UInt16 = 1, boot: UInt64 = 1) -> Message {
        .hello(
            Hello(
                versions: 1...1, identity: name, boot: RecordKey(high: boot, low: boot), capacity: capacity,
                windowBytes: 1 << 20, term: 0, targets: targets, claims: []))
    }

    private static func tick(_ core: inout CoordinatorCore, _ milliseconds: UInt64) {
        _ = core.handle(
            .tick(leadUntil: at(1_000_000), wallMilliseconds: 1_764_129_600_000), now: at(milliseconds))
    }

    private static func status(_ core: CoordinatorCore, _ milliseconds: UInt64) -> ClusterStatus {
        var status = ClusterStatus(
            coordinator: .init(name: "c0", address: "c0:7443", role: .starting, program: "1", upMilliseconds: 0))
        status.targets = [
            TargetStatus(name: "splunk", backend: "splunk", format: "json"),
            TargetStatus(name: "search", backend: "elasticsearch", format: "json"),
        ]
        core.fill(&status, now: at(milliseconds))
        return status
    }

    private static func beat(
        _ core: inout CoordinatorCore, _ session: SessionID, _ number: UInt64, at milliseconds: UInt64,
        _ health: [TargetHealth]
    ) {
        _ = core.handle(
            .received(session, .heartbeat(Heartbeat(term: 7, number: number, health: health))), now: at(milliseconds))
    }

    private static func health(attempts: UInt64 = 0, successes: UInt64 = 0, bytes: UInt64 = 0) -> TargetHealth {
        var health = TargetHealth()
        (health.attempts, health.successes, health.deliveredBytes) = (attempts, successes, bytes)
        return health
    }

    /// Two workers, of which the second is twice as large and named first.
    private static func cluster() -> (core: CoordinatorCore, sessions: [SessionID]) {
        var core = leader()
        let sessions = [SessionID(1), SessionID(2)]
        for (session, (name, capacity)) in zip(sessions, [("worker-b", 1), ("worker-a", 2)] as [(String, UInt16)]) {
            _ = core.handle(.connected(session, name: nil), now: at(0))
            _ = core.handle(.received(session, hello(name, capacity: capacity)), now: at(0))
        }
        tick(&core, 1_000)
        return (core, sessions)
    }

    /// What a worker says is no index before it was looked at.
    @Test(arguments: [16, 17, .max] as [UInt16]) func aShardThatDoesNotExistEndsTheSession(shard: UInt16) {
        var (core, sessions) = Self.cluster()
        let release = Message.released(
            term: 7, grants: [ShardGrant(shard: 3, epoch: 1), ShardGrant(shard: shard, epoch: 1)])
        let effects = core.handle(.received(sessions[0], release), now: Self.at(1_100))
        let isClosed = effects.contains {
            if case .close(let session, let fault) = $0 {
                session == sessions[0] && fault.code == .unexpected
            } else {
                false
            }
        }
        #expect(isClosed, "\(effects)")
    }

    @Test func shardsPointAtWorkersInTheOrderOfNames() {
        let (core, _) = Self.cluster()
        let status = Self.status(core, 1_500)
        #expect(status.coordinator.role == .leader)
        #expect(status.workers.map(\.identity) == ["worker-a", "worker-b"])
        #expect(status.workers.allSatisfy { $0.state == .live && $0.heardMilliseconds == 1_500 })
        #expect(status.workers.map(\.capacity) == [2, 1])
        #expect(status.workers.map { Int($0.fairShards * 3) } == [32, 16])
        #expect(status.shards.count == 16)
        for (index, worker) in status.workers.enumerated() {
            #expect(worker.shards == status.shards.count { $0.owner == index })
            #expect(worker.shards > 0)
        }
        #expect(status.shards.allSatisfy { $0.state == .owned && $0.epoch > 0 && $0.unownedMilliseconds == nil })
    }

    @Test func aLeaderThatWaitsForClaimsSaysSo() {
        var core = Self.leader(isFirstTerm: false)
        Self.tick(&core, 1_000)
        let status = Self.status(core, 2_000)
        #expect(status.coordinator.role == .takingOver)
        #expect(status.shards.allSatisfy { $0.state == .unowned && $0.unownedMilliseconds == 2_000 })
        #expect(status.gate.state == .unknown)
    }

    @Test func countsAreOfTheTermAndSurviveARestartOfAWorker() {
        var (core, sessions) = Self.cluster()
        let nothing = Self.health()
        // What it did before this term is not counted.
        Self.beat(&core, sessions[0], 1, at: 1_100, [Self.health(attempts: 50, successes: 40, bytes: 9_000), nothing])
        #expect(Self.status(core, 1_100).targets[0].deliveredBytes == 0)
        Self.beat(&core, sessions[0], 2, at: 1_200, [Self.health(attempts: 60, successes: 43, bytes: 9_700), nothing])
        Self.beat(&core, sessions[1], 1, at: 1_200, [Self.health(attempts: 1, bytes: 5), nothing])
        var target = Self.status(core, 1_200).targets[0]
        #expect((target.deliveredBytes, target.failures) == (700, 7))
        // A new process begins at zero.
        Self.beat(&core, sessions[0], 3, at: 1_300, [Self.health(attempts: 3, successes: 1, bytes: 100), nothing])
        target = Self.status(core, 1_300).targets[0]
        #expect((target.deliveredBytes, target.failures) == (800, 9))
    }

    @Test func whatAWorkerSaysMayBeAnything() {
        var (core, sessions) = Self.cluster()
        var wild = Self.health(attempts: .max, successes: 0, bytes: .max)
        (wild.queuedBytes, wild.consecutiveFailures, wild.inFlight, wild.latencyMicroseconds) = (.max, .max, .max, .max)
        (wild.sinceSuccessMilliseconds, wild.oldestMilliseconds, wild.concurrencyLimit) = (.max, .max, .max)
        let calm = Self.health(attempts: 0, successes: .max)
        for (number, health) in [[calm, calm], [], [wild, wild], [wild], [calm, wild], [wild, calm, wild]].enumerated()
        {
            for session in sessions {
                Self.beat(&core, session, UInt64(number) + 1, at: 1_100 + UInt64(number), health)
            }
        }
        let status = Self.status(core, 2_000)
        #expect(status.targets[0].deliveredBytes == .max)
    }

    @Test func aLostWorkerKeepsItsPlaceUntilItIsDead() {
        var (core, sessions) = Self.cluster()
        Self.beat(&core, sessions[0], 1, at: 1_000, [Self.health(), Self.health()])
        _ = core.handle(.closed(sessions[0]), now: Self.at(2_000))
        var status = Self.status(core, 3_000)
        #expect(status.workers.map(\.state) == [.live, .lost])
        #expect(status.workers[1].fairShards == 0)
        #expect(status.workers[1].shards > 0)
        #expect(status.targets[0].reporting == 0, "the other one has said nothing yet")
        _ = core.handle(
            .received(sessions[1], .heartbeat(Heartbeat(term: 7, number: 1, health: []))), now: Self.at(16_000))
        Self.tick(&core, 16_500)
        Self.tick(&core, 17_000)
        status = Self.status(core, 17_500)
        #expect(status.workers.map(\.identity) == ["worker-a"])
        #expect(status.shards.allSatisfy { $0.owner == 0 })
    }

    /// Milliseconds after which a leader without workers resigns; nil if it never does.
    private static func resignation(
        of core: inout CoordinatorCore, from start: UInt64, through end: UInt64 = 900_000
    ) -> UInt64? {
        stride(from: start, through: end, by: 1_000).first { time in
            let tick = CoordinatorCore.Event.tick(leadUntil: at(1_000_000), wallMilliseconds: 1_764_129_600_000)
            return core.handle(tick, now: at(time)).contains { if case .resign = $0 { true } else { false } }
        }
    }

    @Test func aLeaderWithoutWorkersResignsAfterTheGateHadItsTime() {
        var alone = Self.leader()
        // A quarter more than the minute after which the gate halts.
        #expect(Self.resignation(of: &alone, from: 0) == 75_000)
        #expect(!alone.hadWorker)
        let membership = Membership.Settings(
            leader: "c0", term: 7, versions: 1...1, shardCount: 16, targets: Self.targets)
        let patience = [1, 2, 4, 50].map { count in
            CoordinatorCore.Settings(
                membership: membership, isFirstTerm: false, cluster: "prod", gate: ExportGateSettings(),
                resignations: count
            ).patience
        }
        #expect(patience == [150_000, 300_000, 1_200_000, 1_200_000])
    }

    @Test func aLeaderWithAWorkerStays() {
        var (core, sessions) = Self.cluster()
        for second in 1...300 as ClosedRange<UInt64> {
            let now = 1_000 + second * 1_000
            Self.beat(&core, sessions[0], second, at: now, [Self.health(), Self.health()])
            #expect(Self.resignation(of: &core, from: now, through: now) == nil)
        }
        #expect(core.hadWorker)
        // The last one falls silent: its session ends with its lease, and from there the time counts.
        #expect(Self.resignation(of: &core, from: 302_000) == 385_000)
    }

    @Test func gateAdmitsOnlyWhatTheStoreHasConfirmed() {
        var (core, sessions) = Self.cluster()
        _ = core.handle(.gate(.gateRead(nil)), now: Self.at(1_000))
        _ = core.handle(.gate(.alertsRead([])), now: Self.at(1_000))
        for target in 0..<2 {
            _ = core.handle(.backlog(target: target, records: 0, oldestMilliseconds: nil), now: Self.at(1_000))
        }
        var record: GateRecord?
        var words: [Bool] = []
        for step in 1...200 where record?.isOpen != true {
            let now = 1_000 + UInt64(step) * 250
            for session in sessions {
                Self.beat(&core, session, UInt64(step), at: now, [Self.health(), Self.health()])
            }
            let effects = core.handle(
                .tick(leadUntil: Self.at(1_000_000), wallMilliseconds: 1_764_129_600_000), now: Self.at(now))
            for case .gate(.writeGate(let written, _)) in effects { record = written }
            for case .send(_, .gate(_, let isOpen, _)) in effects { words.append(isOpen) }
            let state = Self.status(core, now).gate.state
            #expect(!state.admits)
            if let record, !record.isOpen { _ = core.handle(.gate(.gateWritten(record.version)), now: Self.at(now)) }
            guard let record, record.isOpen else { continue }
            _ = core.handle(.gate(.gateWritten(record.version)), now: Self.at(now))
            #expect(Self.status(core, now).gate.state == .open)
            // Not renewed: the record runs out by itself, and the status says so.
            let late = Self.status(core, now + 60_000).gate
            #expect(late.state == .unknown)
            #expect(late.reason.contains("a renewal is overdue"))
        }
        #expect(record?.isOpen == true)
        // Workers were not told that it was closed, which nobody knew.
        #expect(words.isEmpty)
    }

    /// The store takes nothing while exporting fails: nobody is told that no probe is admitted as long as its record admits them.
    @Test func whatTheRecordStillAdmitsIsNotCalledHalted() {
        let settings = ExportGateSettings(impactLevel: .high)
        var gate = ExportGate(
            cluster: "c", identity: "c0", term: 1, targets: ["t"], settings: settings, now: Self.at(0))
        _ = gate.handle(.worker("a", boot: RecordKey(high: 1, low: 1), .serving), now: Self.at(0))
        _ = gate.handle(.gateRead(nil), now: Self.at(0))
        _ = gate.handle(.alertsRead([]), now: Self.at(0))
        func pass(_ second: UInt64) -> [ExportGate.Effect] {
            gate.handle(.tick(leadUntil: Self.at(1_000_000), wallMilliseconds: 0), now: Self.at(second * 1_000))
        }
        for second in 1...60 as ClosedRange<UInt64> {
            _ = gate.handle(.health("a", [TargetHealth()]), now: Self.at(second * 1_000))
            for case .writeGate(let record, _) in pass(second) where record.isOpen {
                _ = gate.handle(.gateWritten(record.version), now: Self.at(second * 1_000))
            }
        }
        #expect(GateStatus(gate, now: Self.at(60_000)).state == .open)
        var failing = TargetHealth()
        (failing.attempts, failing.consecutiveFailures) = (9, 9)
        _ = gate.handle(.health("a", [failing]), now: Self.at(61_000))
        var states: [GateStatus.State] = []
        for second in 61...200 as ClosedRange<UInt64> {
            for case .writeGate(let record, _) in pass(second) {
                _ = gate.handle(.gateUnwritten(record.version), now: Self.at(second * 1_000))
            }
            let status = GateStatus(gate, now: Self.at(second * 1_000))
            #expect(status.state.admits == gate.isAdmitting(now: Self.at(second * 1_000)))
            #expect(!status.letsAskersStart || status.state == .open)
            if status.state == .degraded { #expect(status.reason.contains("still admits")) }
            if states.last != status.state { states.append(status.state) }
        }
        #expect(states == [.degraded, .halted] || states == [.open, .degraded, .halted])
    }

    @Test func aStandbyReadsTheGateAsTheAPIServerDoes() {
        var settings = ExportGateSettings(impactLevel: .high)
        settings.resumeOn = .acknowledgement
        func state(_ record: GateRecord?, isRenewed: Bool = true) -> GateStatus {
            GateStatus(record, isRenewed: isRenewed, settings: settings, sinceMilliseconds: 5)
        }
        var record = GateRecord(
            version: .init(term: 1, sequence: 1), holder: "c0", durationSeconds: 45, state: .open, reason: "", since: 0)
        #expect(state(record).state == .open)
        #expect(state(record, isRenewed: false).state == .halted)
        #expect(state(nil).state == .halted)
        record.holder = ""
        record.state = .halted
        record.reason = "search fails"
        record.episode = Episode(id: .init(term: 1, number: 2), since: 0, cause: "search fails")
        let halted = state(record)
        #expect(halted.state == .halted)
        #expect((halted.reason, halted.episode, halted.needsAcknowledgement) == ("search fails", "1-2", true))
        record.state = .awaitingAcknowledgement
        #expect(state(record).state == .recovering)
        settings.ageLimit = 1_234
        #expect(state(record).ageLimitMilliseconds == 1_234 && state(nil).ageLimitMilliseconds == 1_234)
    }

    @Test func whatWaitsAgesThoughTheFeedTellsNothingMore() {
        var (core, sessions) = Self.cluster()
        for target in 0..<2 {
            _ = core.handle(.backlog(target: target, records: 3, oldestMilliseconds: 890_000), now: Self.at(1_000))
        }
        #expect(Self.status(core, 6_000).targets.map(\.oldestMilliseconds) == [895_000, 895_000])
        for second in 2...13 as ClosedRange<UInt64> {
            for session in sessions {
                Self.beat(&core, session, second, at: second * 1_000, [Self.health(), Self.health()])
            }
            Self.tick(&core, second * 1_000)
            guard second == 2 else { continue }
            _ = core.handle(.gate(.gateRead(nil)), now: Self.at(2_000))
            _ = core.handle(.gate(.alertsRead([])), now: Self.at(2_000))
        }
        #expect(core.gate.state == .degraded && core.gate.reason.contains("has waited 900 s"))
        #expect(Self.status(core, 14_000).gate.ageLimitMilliseconds == 900_000)
    }
}

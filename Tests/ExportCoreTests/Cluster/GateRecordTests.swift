import Model
import Protocol
import Testing

@testable import ExportCore
@testable import ExportCoreWorlds

@Suite struct GateRecordTests {
    private static func seen(
        renewed: UInt64?, at wall: UInt64, sequence: UInt64 = 1
    ) -> (record: GateRecord, wall: UInt64) {
        var record = GateRecord(
            version: .init(term: 1, sequence: sequence), holder: "c0/1", durationSeconds: 45, state: .open, reason: "",
            since: 0)
        record.renewed = renewed
        return (record, wall)
    }

    private static func at(_ seconds: UInt64) -> Tick { Tick(nanoseconds: (1_000 + seconds) * 1_000_000_000) }

    /// What a reader says of the gate, who looks for the first time at a record of this age.
    @Test(arguments: [
        (60_000 as UInt64?, 60_000 as UInt64, GateStatus.State.open), (60_000, 104_999, .open), (60_500, 60_000, .open),
        // Long ago, in the future, or never.
        (60_000, 105_000, .unknown), (3_600_000, 60_000, .unknown), (nil, 60_000, .unknown),
    ])
    func firstLookGoesByTheWallClock(renewed: UInt64?, wall: UInt64, state: GateStatus.State) {
        var sight = GateSight()
        sight.saw(Self.seen(renewed: renewed, at: wall).record, now: Self.at(0), wallMilliseconds: wall)
        #expect(sight.status(ExportGateSettings(impactLevel: .high), now: Self.at(0)).state == state)
    }

    @Test func renewalThatIsSeenCountsByTheMonotonicClockAlone() {
        let settings = ExportGateSettings(impactLevel: .high)
        var sight = GateSight()
        // Somebody's clock is ahead by an hour: nothing is known until a renewal happens before our eyes.
        for second in 0..<20 as Range<UInt64> {
            let sequence: UInt64 = second < 10 ? 1 : 2
            sight.saw(
                Self.seen(renewed: 3_600_000, at: 0, sequence: sequence).record, now: Self.at(second),
                wallMilliseconds: 1_000 * second)
            #expect(sight.status(settings, now: Self.at(second)).state == (second < 10 ? .unknown : .open))
        }
        // It is not stretched by what the clocks say, and nobody renews.
        #expect(sight.status(settings, now: Self.at(54)).state == .open)
        #expect(sight.status(settings, now: Self.at(55)).state == .halted)
    }

    @Test func renewalsInATimeWithoutLookingAreNotTakenForSeen() {
        var sight = GateSight()
        sight.saw(Self.seen(renewed: 1_000, at: 1_000).record, now: Self.at(1), wallMilliseconds: 1_000)
        // It led itself meanwhile; the last renewal was its own, 40 s ago.
        let (record, wall) = Self.seen(renewed: 60_000, at: 100_000, sequence: 9)
        sight.saw(record, now: Self.at(100), wallMilliseconds: wall)
        let settings = ExportGateSettings(impactLevel: .high)
        #expect(sight.status(settings, now: Self.at(104)).state == .open)
        #expect(sight.status(settings, now: Self.at(105)).state == .halted)
    }

    @Test func newLeaderShowsTheRecordItFoundUntilItHasItsOwn() {
        let settings = ExportGateSettings(impactLevel: .high)
        var sight = GateSight()
        var gate = ExportGate(
            cluster: "c", identity: "c1/1", term: 2, targets: ["t"], settings: settings, now: Self.at(0))
        #expect(sight.status(before: gate, now: Self.at(0)) == nil)
        let (record, wall) = Self.seen(renewed: 1_000, at: 1_000)
        sight.saw(record, now: Self.at(0), wallMilliseconds: wall)
        #expect(sight.status(before: gate, now: Self.at(0))?.state == .open)
        _ = gate.handle(.gateRead(record), now: Self.at(1))
        _ = gate.handle(.alertsRead([]), now: Self.at(1))
        _ = gate.handle(.tick(leadUntil: Self.at(900), wallMilliseconds: 2_000), now: Self.at(1))
        #expect(gate.state == .open && !gate.isAdmitting(now: Self.at(1)))
        #expect(sight.status(before: gate, now: Self.at(1))?.state == .open)
        // What it found has run out, and it has not renewed: its own word counts, which is that nobody knows.
        #expect(sight.status(before: gate, now: Self.at(45)) == nil)
    }

    private let episode = Episode(id: Episode.ID(term: 7, number: 2), since: 1_764_129_672_000, cause: "5 attempts")

    private func record(_ term: UInt64, _ sequence: UInt64, holder: String = "a") -> GateRecord {
        GateRecord(
            version: GateRecord.Version(term: term, sequence: sequence), holder: holder, durationSeconds: 45,
            state: .halted, reason: "a\nb", since: 5, episode: episode, ended: Episode.ID(term: 3, number: 1))
    }

    @Test func annotationsCarryEverything() {
        let first = record(7, 9)
        let second = GateRecord(holder: "a", durationSeconds: 45, annotations: first.annotations)
        #expect(first == second)
        var bare = first
        bare.episode = nil
        bare.ended = nil
        #expect(GateRecord(holder: "a", durationSeconds: 45, annotations: bare.annotations) == bare)
    }

    /// A leader of a later release knows a state and an annotation more.
    private var later: GateRecord {
        var annotations = record(7, 9, holder: "c9/1").annotations
        annotations["export.sidereal.cloud/gate-state"] = "cautious"
        annotations["export.sidereal.cloud/gate-mood"] = "wary"
        return GateRecord(holder: "c9/1", durationSeconds: 45, annotations: annotations)
    }

    @Test func aLaterReleasesRecordIsReadAsFarAsItIsKnown() {
        var known = record(7, 9, holder: "c9/1")
        known.state = .unknown
        #expect(later == known)
        #expect(record(8, 10).mayReplace(later) && !record(7, 9).mayReplace(later))
        // Who does not lead goes by what the API server goes by.
        var sight = GateSight()
        var seen = later
        seen.renewed = 1_000
        sight.saw(seen, now: Self.at(0), wallMilliseconds: 1_000)
        let settings = ExportGateSettings(impactLevel: .high)
        #expect(sight.status(settings, now: Self.at(44)).state.admits)
        #expect(!sight.status(settings, now: Self.at(46)).state.admits)
    }

    /// An earlier release leads: what it finds out itself counts, and the episode that it understands goes on.
    @Test(arguments: [true, false]) func aStateThatIsNotKnownIsFoundOutAnew(hasEpisode: Bool) throws {
        let settings = ExportGateSettings(impactLevel: .high)
        var gate = ExportGate(
            cluster: "c", identity: "c1/1", term: 8, targets: ["t"], settings: settings, now: Self.at(0))
        var found = later
        if !hasEpisode { found.episode = nil }
        _ = gate.handle(.gateRead(found), now: Self.at(1))
        _ = gate.handle(.alertsRead([]), now: Self.at(1))
        func tick(_ second: UInt64) -> [GateRecord] {
            gate.handle(.tick(leadUntil: Self.at(900), wallMilliseconds: second * 1_000), now: Self.at(second))
                .compactMap { if case .writeGate(let record, _) = $0 { record } else { nil } }
        }
        // Before a worker can send, nothing says that exporting works.
        let before = tick(1)
        #expect(before.allSatisfy { !$0.isOpen })
        #expect(gate.episode?.id == (hasEpisode ? episode.id : nil))
        #expect(gate.state == (hasEpisode ? .degraded : .open) && !gate.isAdmitting(now: Self.at(1)))
        _ = gate.handle(.worker("w", boot: RecordKey(high: 1, low: 1), .serving), now: Self.at(2))
        _ = gate.handle(.health("w", [TargetHealth()]), now: Self.at(2))
        let written = try #require((before + tick(2)).last)
        #expect(written.isOpen != hasEpisode && written.state != .unknown)
        #expect(written.version.term == 8 && written.version.sequence > 9 && written.mayReplace(found))
    }

    @Test func aLeaseOfSomebodyElseIsTheOldest() {
        let foreign = GateRecord(
            holder: "admin", durationSeconds: 9,
            annotations: ["export.sidereal.cloud/episode": "x.y", "export.sidereal.cloud/gate-term": "-1"])
        #expect(foreign.version == GateRecord.Version(term: 0, sequence: 0) && foreign.episode == nil)
        #expect(record(1, 1).mayReplace(foreign) && record(1, 1).mayReplace(nil))
    }

    @Test func onlyTheNewerReplaces() {
        #expect(record(2, 1).mayReplace(record(1, 9)))
        #expect(record(2, 10).mayReplace(record(2, 9)))
        #expect(!record(2, 9).mayReplace(record(2, 9)))
        #expect(!record(1, 99).mayReplace(record(2, 1)))
    }

    @Test func alertNamesAreDNSNamesAndLeadBack() {
        let name = episode.alertName(cluster: "Prod_East/Ünï.1")
        #expect(name == "siem-export-degraded-prod-east---n---1-1764129672-7-2")
        #expect(Episode.named(name)?.id == episode.id && Episode.named(name)?.since == episode.since)
        #expect(Episode.named("siem-export-degraded-x-1-2") == nil)
        #expect(Episode.named("other-1-2-3") == nil)
        #expect(Episode.named("siem-export-degraded-a-99999999999999999999-1-1") == nil)
        #expect(episode.alertName(cluster: String(repeating: "x", count: 400)).utf8.count < 253)
    }

    @Test func onlyAPersonAcknowledges() {
        var alert = SystemAlert(name: "n", message: "m")
        #expect(!alert.isAcknowledgedByPerson && alert.acknowledgementFlaw == nil)
        alert.acknowledged = true
        #expect(alert.acknowledgementFlaw?.contains("acknowledgedBy, acknowledgedAt, remediationAction") == true)
        alert.acknowledgedBy = "jane"
        alert.acknowledgedAt = "2026-11-26T04:00:00Z"
        alert.remediationAction = "  "
        #expect(!alert.isAcknowledgedByPerson)
        alert.remediationAction = "restarted"
        #expect(alert.isAcknowledgedByPerson && alert.acknowledgementFlaw == nil)
        alert.acknowledged = false
        #expect(!alert.isAcknowledgedByPerson)
        alert.acknowledged = true
        alert.acknowledgedBy = " System:ServiceAccount:ops:robot"
        #expect(!alert.isAcknowledgedByPerson)
    }
}

@Suite struct GateKeeperTests {
    private func wanted(open: Bool, _ reason: String = "") -> GateRecord {
        GateRecord(
            version: GateRecord.Version(term: 0, sequence: 0), holder: open ? "me" : "", durationSeconds: 30,
            state: open ? .open : .halted, reason: reason, since: 1)
    }

    private func keeper(_ now: Tick) -> GateKeeper {
        var settings = ExportGateSettings()
        settings.leaseSeconds = 30
        var keeper = GateKeeper(term: 5, identity: "me", settings: settings, now: now)
        keeper.read(
            GateRecord(
                version: GateRecord.Version(term: 4, sequence: 70), holder: "old", durationSeconds: 30, state: .open,
                reason: "", since: 1))
        return keeper
    }

    private func tick(_ seconds: UInt64) -> Tick { Tick(nanoseconds: seconds * 1_000_000_000) }

    @Test func aCloseDoesNotWaitForARenewalUnderWay() {
        var keeper = keeper(tick(100))
        let renewal = keeper.next(wanted(open: true), mayOpen: true, now: tick(100))
        #expect(renewal?.version == GateRecord.Version(term: 5, sequence: 71))
        #expect(keeper.next(wanted(open: true), mayOpen: true, now: tick(101)) == nil)
        let close = keeper.next(wanted(open: false), mayOpen: false, now: tick(101))
        #expect(close?.version == GateRecord.Version(term: 5, sequence: 72) && close?.mayReplace(renewal) == true)
        keeper.wrote(GateRecord.Version(term: 5, sequence: 71), now: tick(102))
        #expect(!keeper.isClosed(now: tick(102)) && keeper.stored?.version.term == 4)
        keeper.wrote(GateRecord.Version(term: 5, sequence: 72), now: tick(103))
        #expect(keeper.isClosed(now: tick(103)) && !keeper.isOpen(now: tick(103)))
    }

    @Test func aFailedWriteIsTriedAgainAndThenRunsOut() {
        var keeper = keeper(tick(100))
        let first = keeper.next(wanted(open: true), mayOpen: true, now: tick(100))
        keeper.failed(first?.version ?? GateRecord.Version(term: 0, sequence: 0), now: tick(101))
        #expect(keeper.next(wanted(open: false), mayOpen: false, now: tick(102)) == nil)
        let close = keeper.next(wanted(open: false), mayOpen: false, now: tick(103))
        #expect(close != nil)
        // The lost renewal may have been begun until the tenth second, and counts for thirty.
        #expect(!keeper.isClosed(now: tick(139)) && keeper.isClosed(now: tick(140)))
        #expect(keeper.next(wanted(open: false), mayOpen: false, now: tick(113)) != nil)
    }

    @Test func aLaterTermSilencesIt() {
        var keeper = keeper(tick(100))
        #expect(keeper.next(wanted(open: true), mayOpen: true, now: tick(100)) != nil)
        var other = wanted(open: true)
        other.version = GateRecord.Version(term: 6, sequence: 1)
        keeper.refused(by: other)
        #expect(keeper.outrankedBy == 6 && keeper.next(wanted(open: false), mayOpen: false, now: tick(101)) == nil)
    }

    @Test func renewedWhenAThirdHasPassed() {
        var keeper = keeper(tick(100))
        let first = keeper.next(wanted(open: true), mayOpen: true, now: tick(100))
        keeper.wrote(first?.version ?? GateRecord.Version(term: 0, sequence: 0), now: tick(101))
        #expect(keeper.next(wanted(open: true), mayOpen: true, now: tick(109)) == nil)
        #expect(keeper.next(wanted(open: true), mayOpen: false, now: tick(110)) == nil)
        #expect(keeper.next(wanted(open: true), mayOpen: true, now: tick(110)) != nil)
        #expect(keeper.next(wanted(open: true, "news"), mayOpen: true, now: tick(110)) != nil)
    }
}

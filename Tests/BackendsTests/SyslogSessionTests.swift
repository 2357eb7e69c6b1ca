import Model
import Testing

@testable import Backends

/// What one syslog connection decides about its parcels.
@Suite struct SyslogSessionTests {
    private let timing = SyslogTiming(
        resolve: 10, connect: 20, handshake: 30, stall: 1_000, parcel: 5_000, grace: 100, idle: 10_000, linger: 50)
    private let broken = SyslogFailure.closed

    private func at(_ milliseconds: UInt64) -> Tick { Tick(nanoseconds: 1_000_000 * (1_000_000 + milliseconds)) }

    /// An open connection at time 0.
    private func open() -> SyslogSession {
        var session = SyslogSession(timing: timing, now: at(0))
        _ = session.handle(.opened, now: at(0))
        return session
    }

    /// Hands a whole parcel of `count` bytes over, from `start` of the stream.
    private func send(_ id: Int, _ session: inout SyslogSession, upTo end: UInt64, now: Tick) {
        #expect(session.handle(.submit(id), now: now) == [.write(id)])
        #expect(session.handle(.started, now: now) == [])
        #expect(session.handle(.wrote(end), now: now) == [])
        #expect(session.handle(.finished, now: now) == [])
    }

    @Test func deliveredIsAcknowledgedByTCPAndPastTheGrace() {
        var session = open()
        send(1, &session, upTo: 500, now: at(0))
        #expect(session.awaitsAcknowledgement)
        #expect(session.handle(.tick, now: at(900)) == [], "nothing is acknowledged yet")
        _ = session.handle(.acknowledged(499), now: at(900))
        #expect(session.awaitsAcknowledgement)
        _ = session.handle(.acknowledged(500), now: at(950))
        #expect(!session.awaitsAcknowledgement)
        #expect(session.nextTick == at(1_050))
        #expect(session.handle(.tick, now: at(1_049)) == [])
        #expect(session.handle(.tick, now: at(1_050)) == [.settle(1, .delivered)])
    }

    /// The process stood still between the look at the clock and the look at the connection.
    @Test func theGraceBeginsWhenTheAcknowledgementWasSeen() {
        var session = open()
        _ = session.handle(.submit(1), now: at(0))
        _ = session.handle(.started, now: at(0))
        _ = session.handle(.wrote(500), now: at(0))
        _ = session.handle(.acknowledged(500), now: at(900))
        _ = session.handle(.finished, now: at(10))
        #expect(session.handle(.tick, now: at(999)) == [])
        #expect(session.handle(.tick, now: at(1_000)) == [.settle(1, .delivered)])
    }

    @Test func parcelsWriteWhileOthersAreInTheirGrace() {
        var session = open()
        send(1, &session, upTo: 100, now: at(0))
        #expect(session.canTake)
        send(2, &session, upTo: 200, now: at(10))
        _ = session.handle(.acknowledged(100), now: at(20))
        _ = session.handle(.acknowledged(200), now: at(60))
        #expect(session.handle(.tick, now: at(130)) == [.settle(1, .delivered)])
        #expect(session.handle(.tick, now: at(170)) == [.settle(2, .delivered)])
    }

    @Test func theWholeWindowIsUnknownWhenTheConnectionBreaks() {
        var session = open()
        send(1, &session, upTo: 100, now: at(0))
        send(2, &session, upTo: 200, now: at(10))
        _ = session.handle(.acknowledged(100), now: at(20))
        #expect(session.handle(.submit(3), now: at(30)) == [.write(3)])
        #expect(
            session.handle(.ended(broken), now: at(40)) == [
                .settle(1, .unknown(broken)), .settle(2, .unknown(broken)), .settle(3, .notSent(broken)),
            ])
        #expect(session.hasEnded && !session.canTake && session.nextTick == nil)
        #expect(session.openingFailure == nil)
        #expect(session.handle(.tick, now: at(9_999)) == [])
    }

    @Test func aParcelSentInPartIsUnknown() {
        var session = open()
        _ = session.handle(.submit(1), now: at(0))
        _ = session.handle(.started, now: at(0))
        #expect(session.handle(.ended(broken), now: at(1)) == [.settle(1, .unknown(broken))])
    }

    @Test func aParcelThatWaitedForTheConnectionWasNotSent() {
        var session = SyslogSession(timing: timing, now: at(0))
        #expect(session.handle(.submit(1), now: at(0)) == [])
        #expect(!session.canTake)
        _ = session.handle(.began(.connect), now: at(5))
        #expect(session.handle(.ended(.connect(111)), now: at(6)) == [.settle(1, .notSent(.connect(111)))])
        var other = SyslogSession(timing: timing, now: at(0))
        _ = other.handle(.submit(2), now: at(0))
        #expect(other.handle(.opened, now: at(5)) == [.write(2)])
    }

    @Test(arguments: [(SyslogStep.resolve, UInt64(10)), (.connect, 20), (.handshake, 30)])
    func everyStepOfOpeningHasADeadline(step: SyslogStep, limit: UInt64) {
        var session = SyslogSession(timing: timing, now: at(0))
        _ = session.handle(.submit(1), now: at(0))
        _ = session.handle(.began(step), now: at(7))
        #expect(session.nextTick == at(7 + limit))
        #expect(session.handle(.tick, now: at(7 + limit - 1)) == [])
        let failure = SyslogFailure.timeout(step, limit)
        #expect(
            session.handle(.tick, now: at(7 + limit)) == [.settle(1, .notSent(failure)), .close(politely: false)])
        #expect(session.openingFailure == failure)
    }

    @Test func aReceiverThatTakesNothingIsGivenUp() {
        var session = open()
        _ = session.handle(.submit(1), now: at(0))
        _ = session.handle(.started, now: at(0))
        _ = session.handle(.wrote(10), now: at(400))
        _ = session.handle(.wrote(2_000), now: at(800))
        #expect(session.nextTick == at(1_400))
        #expect(session.handle(.tick, now: at(1_399)) == [])
        #expect(
            session.handle(.tick, now: at(1_400)) == [
                .settle(1, .unknown(.stalled(1_000))), .close(politely: false),
            ])
    }

    @Test func aReceiverThatTakesByteByByteIsGivenUp() {
        var session = open()
        _ = session.handle(.submit(1), now: at(0))
        _ = session.handle(.started, now: at(100))
        _ = session.handle(.wrote(1_000), now: at(100))
        for step in UInt64(1)...10 { _ = session.handle(.acknowledged(step), now: at(500 * step)) }
        #expect(session.nextTick == at(5_100))
        #expect(
            session.handle(.tick, now: at(5_100)) == [.settle(1, .unknown(.slow(5_000))), .close(politely: false)])
    }

    /// A grace longer than the patience with a silent receiver must not make the next parcel fail at once.
    @Test func waitingForTheGraceIsNoStall() {
        var long = timing
        long.grace = 3_000
        var session = SyslogSession(timing: long, now: at(0))
        _ = session.handle(.opened, now: at(0))
        send(1, &session, upTo: 10, now: at(0))
        _ = session.handle(.acknowledged(10), now: at(1))
        #expect(session.handle(.tick, now: at(2_000)) == [])
        _ = session.handle(.submit(2), now: at(2_000))
        _ = session.handle(.started, now: at(2_000))
        #expect(session.handle(.tick, now: at(2_001)) == [])
    }

    @Test func idleAndRetiredConnectionsAreClosedPolitely() {
        var session = open()
        send(1, &session, upTo: 10, now: at(0))
        _ = session.handle(.acknowledged(10), now: at(5))
        _ = session.handle(.tick, now: at(200))
        #expect(session.nextTick == at(10_200))
        #expect(session.handle(.tick, now: at(10_199)) == [])
        #expect(session.handle(.tick, now: at(10_200)) == [.close(politely: true)])

        var retired = open()
        send(1, &retired, upTo: 10, now: at(0))
        #expect(retired.handle(.retire, now: at(1)) == [])
        #expect(!retired.canTake)
        _ = retired.handle(.acknowledged(10), now: at(5))
        #expect(retired.handle(.tick, now: at(105)) == [.settle(1, .delivered), .close(politely: true)])
    }

    /// Random histories against a stream that remembers what was acknowledged when.
    @Test(arguments: 0..<500 as Range<UInt64>) func historiesKeepThePromises(seed: UInt64) {
        var rng = PRNG(seed: seed)
        var model = StreamModel(timing: timing, now: at(0))
        var session = SyslogSession(timing: timing, now: at(0))
        var (now, nextID) = (UInt64(0), 0)
        for _ in 0..<300 where !session.hasEnded {
            now += rng.below(40)
            var effects: [SyslogSession.Effect] = []
            func tell(_ event: SyslogSession.Event) { effects += session.handle(event, now: at(now)) }
            switch rng.below(10) {
            case 0: if !session.isOpen { tell(.opened) }
            case 1, 2:
                if session.canTake {
                    model.submitted.insert(nextID)
                    tell(.submit(nextID))
                    nextID += 1
                }
            case 3, 4, 5:
                if let id = model.writing {
                    if model.started.insert(id).inserted { tell(.started) }
                    model.written += rng.below(200)
                    tell(.wrote(model.written))
                    if rng.below(2) == 0 {
                        model.ends[id] = model.written
                        model.writing = nil
                        tell(.finished)
                    }
                }
            case 6, 7:
                model.acknowledge(min(model.written, model.acknowledged + rng.below(400)), now: at(now))
                tell(.acknowledged(model.acknowledged))
            case 8: if rng.below(30) == 0 { tell(.ended(broken)) } else { tell(.tick) }
            default: if rng.below(40) == 0 { tell(.retire) } else { tell(.tick) }
            }
            for effect in effects { model.take(effect, now: at(now), seed: seed) }
        }
        if !session.hasEnded {
            for effect in session.handle(.ended(broken), now: at(now)) { model.take(effect, now: at(now), seed: seed) }
        }
        #expect(model.settled == model.submitted, "seed \(seed)")
    }
}

/// What a connection did, and what may therefore be said of its parcels.
private struct StreamModel {
    let timing: SyslogTiming
    var submitted: Set<Int> = []
    var started: Set<Int> = []
    var settled: Set<Int> = []
    var ends: [Int: UInt64] = [:]
    var writing: Int?
    var written: UInt64 = 0
    var acknowledged: UInt64 = 0
    private var marks: [(bytes: UInt64, at: Tick)]

    init(timing: SyslogTiming, now: Tick) {
        self.timing = timing
        marks = [(0, now)]
    }

    mutating func acknowledge(_ bytes: UInt64, now: Tick) {
        acknowledged = bytes
        marks.append((bytes, now))
    }

    mutating func take(_ effect: SyslogSession.Effect, now: Tick, seed: UInt64) {
        switch effect {
        case .write(let id): writing = id
        case .close: writing = nil
        case .settle(let id, let fate):
            #expect(settled.insert(id).inserted, "seed \(seed): \(id) settled twice")
            if writing == id { writing = nil }
            switch fate {
            case .delivered:
                guard let end = ends[id], let mark = marks.first(where: { $0.bytes >= end }) else {
                    Issue.record("seed \(seed): \(id) delivered before the receiver's TCP had all of it")
                    return
                }
                #expect(now >= mark.at.adding(milliseconds: timing.grace), "seed \(seed): \(id) within its grace")
            case .notSent: #expect(!started.contains(id), "seed \(seed): \(id) had begun to leave")
            case .unknown: #expect(started.contains(id), "seed \(seed): nothing of \(id) had left")
            }
        }
    }
}

import Model
import Testing
import Threading

@testable import ShardWorker

/// Waiting with an alarm that outlives the wait, and which encoder takes what comes.
@Suite struct DoorbellTests {
    @Test func aWaitEndsWithoutARing() async {
        let bell = Doorbell()
        await bell.wait(milliseconds: 5)
        await bell.wait(milliseconds: 5)
    }

    /// The alarm that a long wait left behind does not make a short one long.
    @Test func aShortWaitAfterALongOneIsShort() async {
        let bell = Doorbell()
        bell.ring()
        await bell.wait(milliseconds: 3_600_000)
        let began = SystemClock.now()
        await bell.wait(milliseconds: 5)
        #expect(SystemClock.now().milliseconds(since: began) < 60_000)
    }

    /// A wait that ended early leaves its alarm, and whoever waits longer does not hear it.
    @Test func aLongWaitAfterAShortOneIsLong() async {
        let bell = Doorbell()
        bell.ring()
        await bell.wait(milliseconds: 5)
        let began = SystemClock.now()
        await bell.wait(milliseconds: 100)
        #expect(SystemClock.now().milliseconds(since: began) >= 99)
    }

    /// Nor does whoever waits without an end.
    @Test func aWaitForARingHearsNoAlarm() async {
        let bell = Doorbell()
        bell.ring()
        await bell.wait(milliseconds: 5)
        let began = SystemClock.now()
        Task {
            try? await Task.sleep(for: .milliseconds(100))
            bell.ring()
        }
        await bell.wait()
        #expect(SystemClock.now().milliseconds(since: began) >= 99)
    }

    @Test func theFirstEncoderThatKeepsUpTakesWhatComes() {
        let mebibyte = 1 << 20
        #expect(WorkerLanes.choice(of: [0, 0, 0]) == 0)
        #expect(WorkerLanes.choice(of: [mebibyte - 1, 0, 0]) == 0)
        #expect(WorkerLanes.choice(of: [mebibyte, 10, 0]) == 1)
        #expect(WorkerLanes.choice(of: [3 * mebibyte, 2 * mebibyte, 4 * mebibyte]) == 1)
        #expect(WorkerLanes.choice(of: [mebibyte, mebibyte]) == 0)
    }
}

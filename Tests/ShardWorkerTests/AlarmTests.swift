import Model
import Testing
import Threading

@Suite struct AlarmTests {
    /// An actor that is woken, and notes for when it had been set.
    private actor Sleeper {
        private var alarm = Alarm()
        private(set) var rung: [Tick] = []
        private(set) var late = 0

        func set(_ due: Tick?) { alarm.set(for: due) { time in Task { await self.wake(time) } } }

        /// Rings as a task does that had slept already when another time was set.
        func ringLate(_ due: Tick) { wake(due) }

        private func wake(_ due: Tick) {
            if alarm.hasRung(due) { rung.append(due) } else { late += 1 }
        }
    }

    @Test func ringsOnceAndAtTheLatestTimeThatWasSet() async throws {
        let sleeper = Sleeper()
        let now = SystemClock.now()
        let (early, late) = (now.adding(milliseconds: 20), now.adding(milliseconds: 60))
        await sleeper.set(late)
        await sleeper.set(early)
        await sleeper.set(early)
        while await sleeper.rung.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
        #expect(SystemClock.now() >= early)
        try await Task.sleep(for: .milliseconds(100))
        #expect(await sleeper.rung == [early])
        // It may be set for the same time again, even one that is past.
        await sleeper.set(early)
        while await sleeper.rung.count < 2 { try await Task.sleep(for: .milliseconds(5)) }
        await sleeper.set(SystemClock.now().adding(milliseconds: 30))
        await sleeper.set(nil)
        try await Task.sleep(for: .milliseconds(80))
        #expect(await sleeper.rung == [early, early])
    }

    @Test func anAlarmThatIsPutOffRingsThen() async throws {
        let sleeper = Sleeper()
        let now = SystemClock.now()
        for milliseconds in [20, 40, 60, 80] as [UInt64] { await sleeper.set(now.adding(milliseconds: milliseconds)) }
        while await sleeper.rung.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
        #expect(await sleeper.rung == [now.adding(milliseconds: 80)])
        #expect(SystemClock.now() >= now.adding(milliseconds: 80))
    }

    /// It would otherwise put the one that is set out of mind, and both would ring from then on.
    @Test func aRingThatComesTooLateMeansNothing() async throws {
        let sleeper = Sleeper()
        let due = SystemClock.now().adding(milliseconds: 50)
        await sleeper.set(due)
        await sleeper.ringLate(due.adding(milliseconds: 1))
        #expect(await sleeper.late == 1)
        while await sleeper.rung.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
        #expect(await sleeper.rung == [due])
    }
}

import Simulation
import Testing

/// More results than are ever kept, through what reads an API server's; `make bench-feed` has a hundred times as many.
@Suite struct ManyResultsTests {
    @Test func eachIsHandedOverOnceAndWhatIsKeptIsBounded() {
        var settings = ManyResults.Settings(results: 100_000)
        (settings.padding, settings.windowBytes, settings.settlesOfStep) = (0, 256 << 10, 2_048)
        // More than there is room for aside.
        settings.refusesEvery = 20
        (settings.touchesEvery, settings.hinted) = (101, 2_000)
        let many = ManyResults(settings)
        let found = many.run()
        #expect(found.mistakes == [])
        // All of it was there: none of the bounds is kept for want of trying.
        #expect(found.most["aside"] == 4_096 && found.most["sought"] == 2_000 && found.most["strangers"] ?? 0 > 900)
    }
}

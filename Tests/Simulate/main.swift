import Foundation
import Simulation

// Dictionaries and sets are walked in an order that differs from process to process unless this is set before the start;
// a seed shall give the same history each time.
let hashing = "SWIFT_DETERMINISTIC_HASHING"
if ProcessInfo.processInfo.environment[hashing] == nil {
    unsafe setenv(hashing, "1", 1)
    var words = unsafe CommandLine.arguments.map { unsafe strdup($0) } + [nil]
    unsafe execv("/proc/self/exe", &words)
    unsafe perror("simulate")
    exit(71)
}

let usage = """
    usage: simulate [--seeds N] [--from N] [--seed N] [--plants] [--plant NAME] [--scale] [--feed] [--threads N]
      --seeds N    histories to run (1000)
      --from N     the first seed (1)
      --seed N     just this one, with what it did
      --plants     plants each known mistake and demands that some history of --seeds finds it
      --plant NAME the same with this one alone; or one history with it: --plant NAME --seed N
      --scale      what clusters of up to 1 000 workers move, and how they are loaded, in --results N (100 000 000);
                   fails above --max-moves P (105) percent of the least and --max-load P (125) percent of the fair share
      --feed       --results N (10 000 000) results of an API server through a leader's reader, one of two targets failing since
                   the start; fails if one is not handed over as often as it should be, or above --max-megabytes M (200).
                   Fewer than a million, but at least 100 000, are small, in small windows, and more of them refused

    """
var options: [String: UInt64] = [
    "seeds": 1_000, "from": 1, "results": 0, "max-moves": 105, "max-load": 125, "max-megabytes": 200,
    "threads": UInt64(ProcessInfo.processInfo.activeProcessorCount),
]
var (plants, scale, feed) = (false, false, false)
var plant: String?
var arguments = CommandLine.arguments.dropFirst()
while let argument = arguments.popFirst() {
    let name = String(argument.drop { $0 == "-" })
    if name == "plants" {
        plants = true
    } else if name == "plant", let value = arguments.popFirst() {
        (plants, plant) = (true, value)
    } else if name == "scale" {
        scale = true
    } else if name == "feed" {
        feed = true
    } else if name == "seed" || options[name] != nil,
        let value = arguments.popFirst().flatMap({ UInt64($0) })
    {
        options[name] = value
    } else {
        print(usage)
        exit(argument == "--help" ? 0 : 64)
    }
}
let results = options["results"] ?? 0
if feed {
    let count = results > 0 ? Int(results) : 10_000_000
    let settings = count < 1_000_000 ? ManyResults.Settings.dense(results: count) : .init(results: count)
    let many = ManyResults(settings) { print($0) }
    let found = many.run()
    print(
        "kept at most: \(found.most.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", "))"
    )
    let megabytes = found.grownKilobytes / 1_024
    print("memory grew by \(megabytes) MB at most (goal: at most \(options["max-megabytes"] ?? 0) MB)")
    for mistake in found.mistakes { print("wrong: \(mistake)") }
    exit(found.mistakes.isEmpty && megabytes <= Int(options["max-megabytes"] ?? 0) ? 0 : 1)
}
if scale {
    let play = Scale(
        results: results > 0 ? results : 100_000_000, threads: Int(options["threads"] ?? 1),
        maxMoves: Double(options["max-moves"] ?? 0) / 100, maxLoad: Double(options["max-load"] ?? 0) / 100)
    exit(play.run() ? 0 : 1)
}
let runner = Runner(threads: Int(options["threads"] ?? 1))
if let seed = options["seed"] {
    exit(runner.show(seed, plant: plant) ? 0 : 1)
}
let seeds = (options["from"] ?? 1)..<(options["from"] ?? 1) + (options["seeds"] ?? 1_000)
exit(plants ? (runner.findPlants(seeds, only: plant) ? 0 : 1) : (runner.run(seeds) ? 0 : 1))

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
    usage: simulate [--seeds N] [--from N] [--seed N] [--plants] [--plant NAME] [--scale] [--threads N]
      --seeds N    histories to run (1000)
      --from N     the first seed (1)
      --seed N     just this one, with what it did
      --plants     plants each known mistake and demands that some history of --seeds finds it
      --plant NAME the same with this one alone; or one history with it: --plant NAME --seed N
      --scale      what clusters of up to 1 000 workers move, and how they are loaded, in --results N (100 000 000);
                   fails above --max-moves P (105) percent of the least and --max-load P (125) percent of the fair share

    """
var options: [String: UInt64] = [
    "seeds": 1_000, "from": 1, "results": 100_000_000, "max-moves": 105, "max-load": 125,
    "threads": UInt64(ProcessInfo.processInfo.activeProcessorCount),
]
var (plants, scale) = (false, false)
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
    } else if name == "seed" || options[name] != nil,
        let value = arguments.popFirst().flatMap({ UInt64($0) })
    {
        options[name] = value
    } else {
        print(usage)
        exit(argument == "--help" ? 0 : 64)
    }
}
if scale {
    let play = Scale(
        results: options["results"] ?? 1, threads: Int(options["threads"] ?? 1),
        maxMoves: Double(options["max-moves"] ?? 0) / 100, maxLoad: Double(options["max-load"] ?? 0) / 100)
    exit(play.run() ? 0 : 1)
}
let runner = Runner(threads: Int(options["threads"] ?? 1))
if let seed = options["seed"] {
    exit(runner.show(seed, plant: plant) ? 0 : 1)
}
let seeds = (options["from"] ?? 1)..<(options["from"] ?? 1) + (options["seeds"] ?? 1_000)
exit(plants ? (runner.findPlants(seeds, only: plant) ? 0 : 1) : (runner.run(seeds) ? 0 : 1))

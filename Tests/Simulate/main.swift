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
    usage: simulate [--seeds N] [--from N] [--seed N] [--plants] [--threads N]
      --seeds N    histories to run (1000)
      --from N     the first seed (1)
      --seed N     just this one, with what it did
      --plants     plants each known mistake and demands that some history of --seeds finds it

    """
var options: [String: UInt64] = [
    "seeds": 1_000, "from": 1, "threads": UInt64(ProcessInfo.processInfo.activeProcessorCount),
]
var plants = false
var arguments = CommandLine.arguments.dropFirst()
while let argument = arguments.popFirst() {
    let name = String(argument.drop { $0 == "-" })
    if name == "plants" {
        plants = true
    } else if ["seeds", "from", "seed", "threads"].contains(name),
        let value = arguments.popFirst().flatMap({ UInt64($0) })
    {
        options[name] = value
    } else {
        print(usage)
        exit(argument == "--help" ? 0 : 64)
    }
}
let runner = Runner(threads: Int(options["threads"] ?? 1))
if let seed = options["seed"] {
    exit(runner.show(seed) ? 0 : 1)
}
let seeds = (options["from"] ?? 1)..<(options["from"] ?? 1) + (options["seeds"] ?? 1_000)
exit(plants ? (runner.findPlants(seeds) ? 0 : 1) : (runner.run(seeds) ? 0 : 1))

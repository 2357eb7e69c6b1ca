// Runs one case for callgrind, which counts nothing but its rounds:
//   valgrind --tool=callgrind --instr-atstart=no count-instructions NAME ROUNDS
// Without arguments it lists the cases. Prints how many records, or what else is told of, were counted.
import Callgrind
import Cases
import Dispatch
import Glibc

func fail(_ message: String) -> Never {
    let line = Array("count-instructions: \(message)\n".utf8)
    _ = unsafe write(STDERR_FILENO, line, line.count)
    exit(2)
}

let arguments = Array(CommandLine.arguments.dropFirst())
guard let name = arguments.first else {
    for known in MicroCase.all { print(known.name) }
    exit(0)
}
guard let chosen = MicroCase.all.first(where: { $0.name == name }) else { fail("there is no case '\(name)'") }
guard arguments.count == 2, let rounds = Int(arguments[1]), rounds > 0 else { fail("how many rounds?") }
guard callgrind_runs() != 0 else { fail("run it with valgrind --tool=callgrind --instr-atstart=no") }

func count(_ chosen: MicroCase, rounds: Int) async throws {
    let round = try await chosen.prepare()
    // What is made once and kept, is made now.
    for _ in 0..<2 { _ = try await round.run() }
    var sum = 0
    callgrind_begin()
    for _ in 0..<rounds { sum &+= try await round.run() }
    callgrind_end()
    try await round.end()
    guard sum != 0 else { fail("the case did nothing") }
    print(rounds * MicroCase.unitsOfRound)
}

// An asynchronous main program ends its first thread, which valgrind 3.19 does not survive.
let finished = DispatchSemaphore(value: 0)
Task.detached {
    do { try await count(chosen, rounds: rounds) } catch { fail("\(name): \(error)") }
    finished.signal()
}
finished.wait()

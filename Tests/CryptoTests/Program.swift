import Foundation

/// Runs an installed program to its end: the independent implementation that tests compare with.
struct Program {
    var status: Int32
    var output: [UInt8]

    /// - Parameter input: given on standard input, from a file so that no pipe can fill up.
    static func run(_ arguments: [String], input: [UInt8] = []) async throws -> Program {
        let directory = try TemporaryDirectory()
        let inputFile = directory.url.appendingPathComponent("in")
        let outputFile = directory.url.appendingPathComponent("out")
        try Data(input).write(to: inputFile)
        try Data().write(to: outputFile)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = arguments
        process.standardInput = try FileHandle(forReadingFrom: inputFile)
        process.standardOutput = try FileHandle(forWritingTo: outputFile)
        process.standardError = FileHandle.nullDevice
        try await withCheckedThrowingContinuation { (ended: CheckedContinuation<Void, any Error>) in
            process.terminationHandler = { _ in ended.resume() }
            do { try process.run() } catch { ended.resume(throwing: error) }
        }
        return Program(status: process.terminationStatus, output: [UInt8](try Data(contentsOf: outputFile)))
    }
}

/// A directory of its own for one test, removed with the object.
final class TemporaryDirectory {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("crypto-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: url)
    }
}

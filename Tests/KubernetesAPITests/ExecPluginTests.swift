import Foundation
import Model
import Testing

@testable import KubernetesAPI

@Suite struct ExecPluginTests {
    private static func plugin(_ scratch: Scratch, _ script: String) throws -> ExecPlugin {
        // Not run by itself: whoever starts another program at this moment would keep it open for writing.
        try scratch.write("plugin", script)
        return ExecPlugin(version: .v1, command: "/bin/sh", arguments: [scratch.path + "/plugin"])
    }

    private static func answer(_ status: String, version: String = "v1") -> String {
        #"printf %s '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/\#(version)","status":\#(status)}'"#
    }

    private static func trouble(_ script: String, milliseconds: UInt64 = 20_000) async throws -> String {
        let scratch = try Scratch()
        switch try await plugin(scratch, script).run(milliseconds: milliseconds) {
        case .success: return "a credential"
        case .failure(let error): return "\(error)"
        }
    }

    /// No shell sees the arguments, the program reads nothing, and knows what it is asked for.
    @Test func programGetsWhatItShould() async throws {
        let scratch = try Scratch()
        var plugin = try Self.plugin(
            scratch,
            """
            cd "$(dirname "$0")"
            printf '%s|' "$@" > arguments
            printf '%s' "$KUBERNETES_EXEC_INFO" > info
            printf '%s' "$EXTRA" > extra
            cat > input
            ls /proc/self/fd > files
            """ + "\n" + Self.answer(#"{"token":"t1","expirationTimestamp":"2026-01-01T00:00:01Z"}"#))
        plugin.arguments += ["a b", "$HOME", "`x`", ";", ""]
        plugin.variables = [ExecPlugin.Variable(name: "EXTRA", value: Secret("two words"))]
        let credential = try await plugin.run(milliseconds: 20_000).get()
        #expect(credential.token == Secret("t1") && credential.expires == 1_767_225_601_000)
        #expect(try scratch.read("arguments") == "a b|$HOME|`x`|;||")
        #expect(try scratch.read("info") == plugin.info && plugin.info.contains(#""interactive":false"#))
        #expect(try scratch.read("extra") == "two words")
        #expect(try scratch.read("input").isEmpty)
        // Standard input, output, error, and the folder that ls reads.
        #expect(try scratch.read("files").split(separator: "\n").count == 4)
    }

    @Test func certificatesAreTaken() async throws {
        let scratch = try Scratch()
        let plugin = try Self.plugin(scratch, Self.answer(#"{"clientCertificateData":"C\n","clientKeyData":"K"}"#))
        let credential = try await plugin.run(milliseconds: 20_000).get()
        #expect(
            credential.certificate == Array("C\n".utf8) && credential.key == Secret("K") && credential.expires == nil)
        #expect(credential.token == nil)
    }

    @Test(arguments: [
        ("exit 3", "failed with exit code 3; run it by hand"),
        ("set -x; : hunter2; exit 1", "failed with exit code 1; run"),
        ("echo hunter2 >&2; exit 1", "failed with exit code 1; run"),
        ("kill -9 $$", "was ended by signal 9"), ("echo hunter2", "is not a JSON object"),
        ("true", "is not a JSON object"),
        (answer(#"{"token":"hunter2"}"#, version: "v1beta1"), "is not of client.authentication.k8s.io/v1"),
        (#"echo '{"kind":"Pod","status":{"token":"hunter2"}}'"#, "no ExecCredential"), (answer("null"), "no status"),
        (answer("{}"), "neither a token nor a certificate"), (answer(#"{"token":""}"#), "neither"),
        (answer(#"{"clientCertificateData":"C"}"#), "without its key"),
        (answer(#"{"token":"hunter2","expirationTimestamp":"soon"}"#), "is no time"),
        ("yes hunter2", "more than 262144 bytes"),
    ])
    func badAnswers(script: String, says: String) async throws {
        let trouble = try await Self.trouble(script)
        #expect(trouble.contains(says), "\(trouble)")
        #expect(!trouble.contains("hunter2"), "\(trouble)")
    }

    /// What takes too long is ended with all that it started, also if it closed its output.
    @Test(arguments: ["sleep 600 & echo $! > child; wait", "sleep 600 >&- 2>&- & echo $! > child; exec >&- 2>&-; wait"])
    func slowProgramsAreEnded(script: String) async throws {
        let scratch = try Scratch()
        let plugin = try Self.plugin(scratch, "cd \"$(dirname \"$0\")\"\n" + script)
        guard case .failure(let error) = await plugin.run(milliseconds: 1_500) else {
            Issue.record("it answered")
            return
        }
        #expect("\(error)".contains("took longer than 1500 ms"))
        let child = try #require(Int32(try scratch.read("child").trimmingCharacters(in: .whitespacesAndNewlines)))
        // Killed with its group; a zombie nobody has waited for yet may remain for a moment.
        for _ in 0..<500 where Self.isRunning(child) { try await Task.sleep(for: .milliseconds(10)) }
        #expect(!Self.isRunning(child))
    }

    private static func isRunning(_ pid: Int32) -> Bool {
        guard let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8) else { return false }
        return !stat.contains(") Z")
    }

    @Test func missingProgramSaysHowToGetIt() async {
        var plugin = ExecPlugin(version: .v1, command: "no-such-login-program")
        plugin.installHint = "install it from there"
        guard case .failure(let error) = await plugin.run(milliseconds: 1_000) else {
            Issue.record("it answered")
            return
        }
        #expect(
            "\(error)".contains("no-such-login-program is not there") && "\(error)".contains("install it from there"))
    }

    /// One run for all that ask at once, none while it holds, and a new one before its end.
    @Test func credentialIsKeptUntilItEnds() async throws {
        let scratch = try Scratch()
        let counting = "cd \"$(dirname \"$0\")\"; echo x >> runs; sleep 0.3\n"
        let plugin = try Self.plugin(
            scratch, counting + Self.answer(#"{"token":"t","expirationTimestamp":"2999-01-01T00:00:00Z"}"#))
        let credentials = Credentials(.plugin(plugin))
        let numbers = try await withThrowingTaskGroup(of: UInt64.self) { group in
            for _ in 0..<20 { group.addTask { try await credentials.current(within: 600_000).number } }
            return try await group.reduce(into: Set()) { $0.insert($1) }
        }
        let runs = try scratch.read("runs")
        #expect(numbers == [1] && runs == "x\n")
        // Just fetched: a refusal does not make it worth another run.
        #expect(await credentials.wasRefused(1) == false)
        #expect(await credentials.wasRefused(0) == true)

        try scratch.write(
            "plugin",
            counting + Self.answer(#"{"token":"t","expirationTimestamp":"2001-01-01T00:00:00Z"}"#))
        let short = Credentials(.plugin(plugin))
        _ = try await short.current(within: 600_000)
        _ = try await short.current(within: 600_000)
        #expect(try scratch.read("runs") == "x\nx\nx\n")
        try scratch.write("plugin", "exit 1")
        await #expect(throws: AccessError.self) { try await short.current(within: 600_000) }
        #expect(try await credentials.current(within: 600_000).credential.token == Secret("t"))
    }

    /// A refusal of what is not held any more says nothing against what is on its way, or came since.
    @Test func refusedCredentialIsReplacedForAllThatHadIt() async throws {
        let scratch = try Scratch()
        let plugin = try Self.plugin(
            scratch,
            """
            cd "$(dirname "$0")"; echo x >> runs
            token=$(wc -l < runs)
            printf '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"t%d"}}' "$token"
            """)
        let credentials = Credentials(.plugin(plugin), refusalMilliseconds: 0)
        let first = try await credentials.current(within: 600_000)
        #expect(first.credential.token == Secret("t1"))
        async let one = credentials.wasRefused(first.number)
        async let other = credentials.wasRefused(first.number)
        let both = await (one, other)
        #expect(both.0 && both.1)
        let second = try await credentials.current(within: 600_000)
        #expect(second.credential.token == Secret("t2") && second.number > first.number)
        // A third, whose answer was slow.
        #expect(await credentials.wasRefused(first.number))
        #expect(try await credentials.current(within: 600_000).credential.token == Secret("t2"))
    }

    @Test func lifeEndsEarly() {
        func life(_ expires: Int64?) -> CredentialLife {
            CredentialLife(fetched: Tick(nanoseconds: 0), fetchedAt: 1_000_000, expires: expires)
        }
        #expect(!life(nil).isDue(unixMilliseconds: .max) && !life(nil).isOver(unixMilliseconds: .max))
        // An hour: a minute early.
        #expect(
            !life(4_600_000).isDue(unixMilliseconds: 4_539_999) && life(4_600_000).isDue(unixMilliseconds: 4_540_000))
        // A minute: a quarter of it.
        #expect(
            !life(1_060_000).isDue(unixMilliseconds: 1_044_999) && life(1_060_000).isDue(unixMilliseconds: 1_045_000))
        #expect(
            !life(1_060_000).isOver(unixMilliseconds: 1_059_999) && life(1_060_000).isOver(unixMilliseconds: 1_060_000))
        #expect(life(5).isDue(unixMilliseconds: 1_000_000))
        #expect(!life(nil).mayRenew(now: Tick(nanoseconds: 9_999_000_000)))
        #expect(life(nil).mayRenew(now: Tick(nanoseconds: 10_000_000_000)))
    }

    @Test func tokenFilesAreReadAsTheyRotate() async throws {
        let scratch = try Scratch()
        let credentials = Credentials(.tokenFile(scratch.path + "/token"))
        await #expect(throws: AccessError.self) { try await credentials.current(within: 600_000) }
        try scratch.write("token", "first\n")
        let first = try await credentials.current(within: 600_000)
        #expect(first.credential.token == Secret("first"))
        #expect(await credentials.wasRefused(first.number) == false)
        try scratch.write("token", "second")
        // Refused: read at once, not when its time comes.
        #expect(await credentials.wasRefused(first.number) == true)
        let second = try await credentials.current(within: 600_000)
        #expect(second.credential.token == Secret("second") && second.number == first.number + 1)
        try scratch.write("token", "third")
        try await Task.sleep(for: .milliseconds(CredentialLife.fileMilliseconds + 100))
        #expect(try await credentials.current(within: 600_000).credential.token == Secret("third"))
    }

    /// A rotation that is not complete costs no call, as long as the server takes the token before.
    @Test func tokenIsHeldWhileItsFileIsUnreadable() async throws {
        let scratch = try Scratch()
        let credentials = Credentials(.tokenFile(scratch.path + "/token"))
        try scratch.write("token", "first")
        let first = try await credentials.current(within: 600_000)
        try FileManager.default.removeItem(atPath: scratch.path + "/token")
        try await Task.sleep(for: .milliseconds(CredentialLife.fileMilliseconds + 100))
        #expect(try await credentials.current(within: 600_000).number == first.number)
        #expect(await credentials.wasRefused(first.number) == false)
        await #expect(throws: AccessError.self) { try await credentials.current(within: 600_000) }
        try scratch.write("token", "second")
        #expect(try await credentials.current(within: 600_000).credential.token == Secret("second"))
    }
}

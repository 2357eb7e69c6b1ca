import Glibc
import Model
import Secrets
import Testing

@Suite struct SecretDirectoryTests {
    private let directory: TemporaryDirectory
    private let clock = TestClock()
    private let secrets: SecretDirectory

    init() throws {
        directory = try TemporaryDirectory()
        try directory.makeDirectory("hec")
        let clock = clock
        secrets = SecretDirectory(root: directory.path, now: { clock.now() })
    }

    private func read(_ key: String = "token") throws -> String? { try secrets.read("hec", key: key)?.reveal() }

    private func failure(_ ref: String, _ key: String) -> SecretError? {
        do throws(SecretError) {
            _ = try secrets.read(ref, key: key)
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: [
        ("abc", "abc"), ("abc\n", "abc"), ("abc\r\n", "abc"), (" a b ", " a b "), ("a:b", "a:b"), ("ü\n", "ü"),
    ])
    func oneLineBreakIsCut(_ content: String, _ value: String) throws {
        try directory.write(content, to: "hec/token")
        #expect(try read() == value)
    }

    @Test(arguments: ["abc\n\n", "\nabc", "a\nb", "a\rb", "abc\r", "abc\r\r\n", "a\u{0}b", "abc\u{0}"])
    func controlCharactersAreRefused(_ content: String) throws {
        try directory.write(content, to: "hec/token")
        let error = try #require(failure("hec", "token"))
        #expect(error.kind == .controlCharacter)
        #expect(error.message.hasPrefix("\(directory.path)/hec/token holds a"))
        #expect(!error.message.contains("abc"))
    }

    @Test(arguments: ["", "\n", "\r\n"])
    func emptyIsRefused(_ content: String) throws {
        try directory.write(content, to: "hec/token")
        let error = try #require(failure("hec", "token"))
        #expect(error.kind == .empty)
        #expect(error.message == "\(directory.path)/hec/token is empty; write the value into it")
    }

    @Test func sizeIsBounded() throws {
        try directory.write([UInt8](repeating: 0x61, count: 64 << 10), to: "hec/token")
        #expect(try read()?.utf8.count == 64 << 10)
        try directory.write([UInt8](repeating: 0x61, count: (64 << 10) + 1), to: "hec/large")
        #expect(failure("hec", "large")?.kind == .tooLong)
    }

    @Test func absentKeysAndSecrets() throws {
        #expect(try read() == nil)
        #expect(try secrets.read("none", key: "token") == nil)
        #expect(try secrets.exists("hec"))
        #expect(try !secrets.exists("none"))
        try directory.write("a", to: "file")
        #expect(try !secrets.exists("file"))
        #expect(try secrets.read("file", key: "token") == nil)
        #expect(try secrets.path("hec", key: "ca.crt") == nil)
        try directory.write("a", to: "hec/ca.crt")
        #expect(try secrets.path("hec", key: "ca.crt") == "\(directory.path)/hec/ca.crt")
        try directory.makeDirectory("hec/tls.crt")
        #expect(pathFailure("hec", "tls.crt")?.kind == .notAFile)
        #expect(pathFailure("none", "ca.crt")?.kind == .absent)
        #expect(pathFailure("file", "ca.crt")?.kind == .absent)
    }

    private func pathFailure(_ ref: String, _ key: String) -> SecretError? {
        do throws(SecretError) {
            _ = try secrets.path(ref, key: key)
            return nil
        } catch {
            return error
        }
    }

    /// Whom TLS trusts does not widen because a file is being replaced.
    @Test(arguments: ["ca.crt", "crl.pem", "proxy-ca.crt"]) func whatGuardsTrustMayNotVanish(key: String) throws {
        #expect(try secrets.path("hec", key: key) == nil)
        try directory.write("a", to: "hec/" + key)
        #expect(try secrets.path("hec", key: key) != nil)
        try directory.move("hec/" + key, to: "hec/away")
        let gone = try #require(pathFailure("hec", key))
        #expect(gone.kind == .withdrawn)
        #expect(gone.message.hasPrefix("\(directory.path)/hec/\(key) was there and is gone"))
        secrets.invalidate("hec")
        #expect(pathFailure("hec", key)?.kind == .withdrawn)
        try directory.write("b", to: "hec/" + key)
        #expect(try secrets.path("hec", key: key) != nil)
        // Another process, which has never seen it, may go without.
        try directory.move("hec/" + key, to: "hec/away")
        #expect(try SecretDirectory(root: directory.path).path("hec", key: key) == nil)
    }

    @Test func aClientCertificateMayBeWithdrawn() throws {
        try directory.write("a", to: "hec/tls.crt")
        #expect(try secrets.path("hec", key: "tls.crt") != nil)
        try directory.move("hec/tls.crt", to: "hec/away")
        #expect(try secrets.path("hec", key: "tls.crt") == nil)
    }

    @Test func whatCannotBeLookedAtIsNotAbsent() throws {
        try directory.link("hec/ca.crt", to: "ca.crt")
        #expect(pathFailure("hec", "ca.crt")?.kind == .unreadable(errno: ELOOP))
    }

    @Test func whatIsNoFileIsRefused() throws {
        try directory.makeDirectory("hec/token")
        #expect(failure("hec", "token")?.kind == .notAFile)
        try #require(unsafe mkfifo(directory.path + "/hec/pipe", 0o600) == 0)
        #expect(failure("hec", "pipe")?.kind == .notAFile)
        try directory.link("hec/loop", to: "loop")
        let loop = try #require(failure("hec", "loop"))
        #expect(loop.kind == .unreadable(errno: ELOOP))
        #expect(loop.message == "cannot read \(directory.path)/hec/loop: Too many levels of symbolic links")
        try directory.write([0xC3, 0x28], to: "hec/latin1")
        #expect(failure("hec", "latin1")?.kind == .notText)
    }

    @Test(arguments: ["", ".", "..", "../hec", "a/b", "/etc", "a\u{0}b", "a\nb", String(repeating: "a", count: 256)])
    func namesLeadDownwardsOnly(_ name: String) throws {
        try directory.write("x", to: "token")
        #expect(failure(name, "token")?.kind == .badName)
        #expect(failure("hec", name)?.kind == .badName)
        #expect(pathFailure(name, "token")?.kind == .badName)
        #expect(try !secrets.exists(name))
    }

    @Test func diskIsLookedAtOnceASecond() throws {
        try directory.write("one", to: "hec/token")
        #expect(try read() == "one")
        try directory.write("two", to: "hec/next")
        try directory.move("hec/next", to: "hec/token")
        clock.advance(milliseconds: 999)
        #expect(try read() == "one")
        clock.advance(milliseconds: 1)
        #expect(try read() == "two")
    }

    @Test func whatAppearsAndDisappearsIsSeen() throws {
        #expect(try read() == nil)
        try directory.write("one", to: "hec/token")
        #expect(try read() == nil)
        clock.advance(milliseconds: 1_000)
        #expect(try read() == "one")
        try directory.move("hec/token", to: "hec/gone")
        clock.advance(milliseconds: 1_000)
        #expect(try read() == nil)
    }

    /// Kubernetes mounts `token -> ..data/token` and `..data -> ..2026_01_01`, and renames a new `..data` over the old.
    @Test func swappedLinkIsSeen() throws {
        try directory.makeDirectory("hec/..1")
        try directory.makeDirectory("hec/..2")
        // Equal in size, and in time as far as the file system's clock goes.
        try directory.write("one", to: "hec/..1/token")
        try directory.write("two", to: "hec/..2/token")
        try directory.link("hec/..data", to: "..1")
        try directory.link("hec/token", to: "..data/token")
        #expect(try read() == "one")
        try directory.link("hec/..data_tmp", to: "..2")
        try directory.move("hec/..data_tmp", to: "hec/..data")
        #expect(try read() == "one")
        clock.advance(milliseconds: 1_000)
        #expect(try read() == "two")
    }

    @Test func invalidationReadsAtOnce() throws {
        try directory.write("one", to: "hec/token")
        try directory.write("other", to: "hec/name")
        #expect(try read() == "one")
        #expect(try read("name") == "other")
        try directory.write("two", to: "hec/next")
        try directory.move("hec/next", to: "hec/token")
        secrets.invalidate("someone-else")
        #expect(try read() == "one")
        secrets.invalidate("hec")
        #expect(try read() == "two")
        #expect(try read("name") == "other")
    }

    @Test func unchangedFileIsNotReadAgain() throws {
        try directory.write("one", to: "hec/token")
        #expect(try read() == "one")
        // Same inode, size and time: nothing tells the versions apart, so the value read first must come back.
        var status = stat()
        try #require(unsafe stat(directory.path + "/hec/token", &status) == 0)
        try directory.write("two", to: "hec/token")
        var times = [status.st_atim, status.st_mtim]
        try #require(unsafe utimensat(AT_FDCWD, directory.path + "/hec/token", &times, 0) == 0)
        clock.advance(milliseconds: 5_000)
        #expect(try read() == "one")
        secrets.invalidate("hec")
        #expect(try read() == "two")
    }

    @Test func badReplacementIsReportedAndMended() throws {
        try directory.write("one", to: "hec/token")
        #expect(try read() == "one")
        try directory.write("", to: "hec/token")
        clock.advance(milliseconds: 1_000)
        #expect(failure("hec", "token")?.kind == .empty)
        try directory.write("three", to: "hec/token")
        #expect(try read() == "three")
    }

    @Test func manyReadersSeeARotation() async throws {
        try directory.write("old", to: "hec/token")
        #expect(try read() == "old")
        try directory.write("new", to: "hec/next")
        try directory.move("hec/next", to: "hec/token")
        clock.advance(milliseconds: 1_000)
        let values = try await withThrowingTaskGroup(of: String?.self) { group in
            for _ in 0..<64 { group.addTask { [secrets] in try secrets.read("hec", key: "token")?.reveal() } }
            return try await group.reduce(into: Set<String?>()) { $0.insert($1) }
        }
        #expect(values == ["new"])
    }
}

<#
.SYNOPSIS
    The 20-minute walk: installs the rundown driver on a Windows test machine, stresses it, removes it, and records all of it.

.DESCRIPTION
    Run it from an elevated PowerShell in the package's folder, one part after the other:

        .\walk.ps1 prepare        then reboot
        .\walk.ps1 plain
        .\walk.ps1 verifier-on    then reboot
        .\walk.ps1 verifier
        .\walk.ps1 restore        then reboot

    It decides nothing: it writes what it saw to walk-output.jsonl, one JSON object a line, for
    `cargo xtask windows-report walk-output.jsonl`. A part may be walked again; its last time counts.
    A bugcheck on the way is seen by the next part's step "bugchecks".

    For test machines only. docs/windows.md explains every step.

.PARAMETER Part
    prepare, plain, verifier-on, verifier or restore.

.PARAMETER DevCon
    devcon.exe or devgen.exe of the WDK's Tools folder; looked for beside this script and on the path when not given.

.PARAMETER Seconds
    How long each stress run lasts.

.PARAMETER OutputFile
    The record; walk-output.jsonl beside this script when not given.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory, Position = 0)]
    [ValidateSet('prepare', 'plain', 'verifier-on', 'verifier', 'restore')]
    [string] $Part,

    [string] $DevCon,

    [ValidateRange(1, 3600)]
    [int] $Seconds = 30,

    [string] $OutputFile
)

Set-StrictMode -Version Latest
# Programs that write to stderr are not errors of this script.
$ErrorActionPreference = 'Continue'

# Not in param(): Windows PowerShell leaves $PSScriptRoot empty there.
if (-not $OutputFile) { $OutputFile = Join-Path $PSScriptRoot 'walk-output.jsonl' }
# .NET would take a relative path from the folder of the process, which is not PowerShell's.
$OutputFile = $PSCmdlet.GetUnresolvedProviderPathFromPSPath($OutputFile)

$HardwareId = 'Root\Rundown'
$Inf = Join-Path $PSScriptRoot 'rundown.inf'
# Ours, or wdk-build's.
$Certificate = 'rundown-test.cer', 'WDRLocalTestCert.cer' | ForEach-Object { Join-Path $PSScriptRoot $_ } |
    Where-Object { Test-Path $_ } | Select-Object -First 1
$Client = Join-Path $PSScriptRoot 'rundownctl.exe'

# ---- recording ----

function Write-Line($Object) {
    $line = ConvertTo-Json -InputObject $Object -Compress -Depth 4
    # Without a byte order mark, in every PowerShell.
    [System.IO.File]::AppendAllText($OutputFile, $line + "`n", (New-Object System.Text.UTF8Encoding $false))
}

function Part([string] $Name) {
    Write-Line ([ordered]@{ walk = 1; part = $Name; time = (Get-Date).ToUniversalTime().ToString('o') })
}

# Records what was found out, as JSON text.
function Record([string] $Name, [string] $Output, [int] $Exit = 0, [string] $Command = '', [double] $Took = 0) {
    Write-Line ([ordered]@{
        step = $Name; command = $Command; exit = $Exit; seconds = [math]::Round($Took, 2); output = $Output
    })
    Write-Host ('{0,-22} exit {1}' -f $Name, $Exit)
}

# Runs a program and records its exit code and everything that it prints.
function Step([string] $Name, [string] $Program, [string[]] $Arguments) {
    $clock = [System.Diagnostics.Stopwatch]::StartNew()
    try {
        $said = & $Program @Arguments 2>&1 | ForEach-Object { "$_" } | Out-String
        $code = $LASTEXITCODE
    } catch {
        $said = "$_"
        $code = -1
    }
    Record $Name $said $code "$Program $($Arguments -join ' ')" $clock.Elapsed.TotalSeconds
}

function ConvertTo-JsonList([object[]] $Items) {
    # Windows PowerShell writes a list of one as the one.
    '[' + (@($Items | ForEach-Object { ConvertTo-Json -InputObject $_ -Compress -Depth 4 }) -join ',') + ']'
}

# ---- finding out ----

function Get-SystemFacts {
    $secureBoot = $null
    # It throws on machines without UEFI, which have no Secure Boot.
    try { $secureBoot = [bool](Confirm-SecureBootUEFI -ErrorAction Stop) } catch { $secureBoot = $null }
    $system = Get-CimInstance Win32_OperatingSystem
    ConvertTo-Json -Compress ([ordered]@{
        caption     = $system.Caption
        build       = [int]$system.BuildNumber
        secure_boot = $secureBoot
        processors  = [Environment]::ProcessorCount
    })
}

function Get-Devices {
    $devices = @(Get-CimInstance Win32_PnPEntity | Where-Object { $_.HardwareID -contains $HardwareId })
    ConvertTo-JsonList @($devices | ForEach-Object {
        $property = Get-PnpDeviceProperty -InstanceId $_.DeviceID -KeyName 'DEVPKEY_Device_DriverInfPath' -ErrorAction SilentlyContinue
        # A device without a driver has the property without data, which must not be read then (StrictMode).
        $data = if ($property) { $property.PSObject.Properties['Data'] } else { $null }
        $published = if ($data) { $data.Value } else { $null }
        [ordered]@{ instance = $_.DeviceID; problem = [int]$_.ConfigManagerErrorCode; inf = $published }
    })
}

function Get-PublishedInf {
    $package = Get-CimInstance Win32_PnPSignedDriver | Where-Object { $_.HardWareID -eq $HardwareId } | Select-Object -First 1
    if ($package) { $package.InfName } else { 'oem-not-found.inf' }
}

# Bugchecks since the walk's first part, as the system recorded them on the boot after.
function Get-Bugchecks {
    $since = (Get-Item $OutputFile).CreationTime
    $filter = @{ LogName = 'System'; ProviderName = 'Microsoft-Windows-WER-SystemErrorReporting'; Id = 1001; StartTime = $since }
    $events = @(Get-WinEvent -FilterHashtable $filter -ErrorAction SilentlyContinue)
    ConvertTo-JsonList @($events | ForEach-Object { $_.Message })
}

function Find-Tool([string] $Name) {
    $beside = Join-Path $PSScriptRoot $Name
    if (Test-Path $beside) { return $beside }
    $found = Get-Command $Name -ErrorAction SilentlyContinue
    if ($found) { return $found.Source }
    $null
}

# ---- the parts ----

function Install-Device {
    $tool = $DevCon
    if (-not $tool) { $tool = Find-Tool 'devcon.exe' }
    if (-not $tool) { $tool = Find-Tool 'devgen.exe' }
    if (-not $tool) {
        Write-Warning 'Neither devcon.exe nor devgen.exe was found. They are in the WDK''s Tools folder; name one with -DevCon.'
        $tool = 'devcon.exe'
    }
    if ((Split-Path $tool -Leaf) -like 'devgen*') {
        & $tool /add /bus ROOT /hardwareid $HardwareId | Out-Host
        Step 'install' 'pnputil.exe' @('/add-driver', $Inf, '/install')
    } else {
        Step 'install' $tool @('install', $Inf, $HardwareId)
    }
}

function Invoke-Stress([string] $Name, [string[]] $Options) {
    Step $Name $Client (@('stress', '--json', '--duration', "$($Seconds * 1000)") + $Options)
}

function Invoke-Run {
    Record 'boot-options' (Get-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Control').SystemStartOptions
    Install-Device
    Record 'device' (Get-Devices)
    $published = Get-PublishedInf
    Step 'info' $Client @('info', '--json')
    Invoke-Stress 'stress-ours' @('--arm', 'ours')
    Invoke-Stress 'stress-native' @('--arm', 'native')
    Invoke-Stress 'stress-dispatch' @('--arm', 'ours', '--waiter', 'dispatch', '--hold', '2000')
    # Query info without its structure: refused, and nothing happens.
    Step 'bad-request' $Client @('raw', '0x80526000', '-', '--out', '80')
    $device = @(Get-CimInstance Win32_PnPEntity | Where-Object { $_.HardwareID -contains $HardwareId }) | Select-Object -First 1
    $instance = if ($device) { $device.DeviceID } else { 'ROOT\RUNDOWN\NOT-FOUND' }
    Step 'remove' 'pnputil.exe' @('/remove-device', $instance)
    Record 'gone' (Get-Devices)
    Step 'delete-package' 'pnputil.exe' @('/delete-driver', $published)
    Record 'bugchecks' (Get-Bugchecks)
}

$identity = [Security.Principal.WindowsPrincipal][Security.Principal.WindowsIdentity]::GetCurrent()
if (-not $identity.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
    Write-Error 'This is not an elevated PowerShell: "Run as administrator", then again.'
    exit 2
}
if (-not $Certificate) {
    Write-Error 'Neither rundown-test.cer nor WDRLocalTestCert.cer is here: run this script in the folder of a package.'
    exit 2
}
foreach ($file in $Inf, $Client) {
    if (-not (Test-Path $file)) {
        Write-Error "$file is missing: run this script in the folder of a package (docs/windows.md, A package)."
        exit 2
    }
}

switch ($Part) {
    'prepare' {
        Part 'prepare'
        Record 'system' (Get-SystemFacts)
        Step 'certificate-root' 'certutil.exe' @('-addstore', 'Root', $Certificate)
        Step 'certificate-publisher' 'certutil.exe' @('-addstore', 'TrustedPublisher', $Certificate)
        Step 'test-signing' 'bcdedit.exe' @('/set', 'testsigning', 'on')
        Write-Host 'Reboot now, then: .\walk.ps1 plain'
    }
    'plain' {
        Part 'plain'
        Invoke-Run
        Write-Host 'Next: .\walk.ps1 verifier-on'
    }
    'verifier-on' {
        Part 'verifier-on'
        Step 'verifier-set' 'verifier.exe' @('/standard', '/driver', 'rundown.sys')
        Write-Host 'Reboot now, then: .\walk.ps1 verifier'
    }
    'verifier' {
        Part 'verifier'
        Step 'verifier-query' 'verifier.exe' @('/querysettings')
        Invoke-Run
        Write-Host 'Next: .\walk.ps1 restore'
    }
    'restore' {
        Part 'restore'
        Step 'verifier-reset' 'verifier.exe' @('/reset')
        Step 'test-signing-off' 'bcdedit.exe' @('/set', 'testsigning', 'off')
        Write-Host 'Reboot now. The certificate stays: docs/windows.md, Remove, has the lines that delete it.'
    }
}
Write-Host "Recorded in $OutputFile"

/*
 * A driver in C, as small as one that does something can be: it keeps what is written, gives it to who reads, and counts.
 */
#include <ntddk.h>
#include <wdf.h>

#define IOCTL_COUNT CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_READ_ACCESS)

/* {5A4C1F0B-6B0E-4C53-9C2E-0B1D3C7E9A11} */
static const GUID Interface = { 0x5A4C1F0B, 0x6B0E, 0x4C53, { 0x9C, 0x2E, 0x0B, 0x1D, 0x3C, 0x7E, 0x9A, 0x11 } };

typedef struct _DEVICE_CONTEXT {
    WDFSPINLOCK Lock;
    ULONG Writes;
    size_t Length;
    UCHAR Kept[64];
} DEVICE_CONTEXT;

WDF_DECLARE_CONTEXT_TYPE_WITH_NAME(DEVICE_CONTEXT, ContextOf)

DRIVER_INITIALIZE DriverEntry;
static EVT_WDF_DRIVER_DEVICE_ADD DeviceAdd;
static EVT_WDF_IO_QUEUE_IO_READ Read;
static EVT_WDF_IO_QUEUE_IO_WRITE Write;
static EVT_WDF_IO_QUEUE_IO_DEVICE_CONTROL DeviceControl;

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    WDF_DRIVER_CONFIG Config;

    WDF_DRIVER_CONFIG_INIT(&Config, DeviceAdd);
    return WdfDriverCreate(DriverObject, RegistryPath, WDF_NO_OBJECT_ATTRIBUTES, &Config, WDF_NO_HANDLE);
}

static NTSTATUS NTAPI DeviceAdd(WDFDRIVER Driver, PWDFDEVICE_INIT Init)
{
    WDF_OBJECT_ATTRIBUTES Attributes;
    WDF_IO_QUEUE_CONFIG Queue;
    WDFDEVICE Device;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(Driver);
    WDF_OBJECT_ATTRIBUTES_INIT_CONTEXT_TYPE(&Attributes, DEVICE_CONTEXT);
    Status = WdfDeviceCreate(&Init, &Attributes, &Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    WDF_OBJECT_ATTRIBUTES_INIT(&Attributes);
    Attributes.ParentObject = Device;
    Status = WdfSpinLockCreate(&Attributes, &ContextOf(Device)->Lock);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    WDF_IO_QUEUE_CONFIG_INIT_DEFAULT_QUEUE(&Queue, WdfIoQueueDispatchParallel);
    Queue.EvtIoRead = Read;
    Queue.EvtIoWrite = Write;
    Queue.EvtIoDeviceControl = DeviceControl;
    Status = WdfIoQueueCreate(Device, &Queue, WDF_NO_OBJECT_ATTRIBUTES, WDF_NO_HANDLE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    return WdfDeviceCreateDeviceInterface(Device, &Interface, NULL);
}

static VOID NTAPI Write(WDFQUEUE Queue, WDFREQUEST Request, size_t Length)
{
    DEVICE_CONTEXT *Context = ContextOf(WdfIoQueueGetDevice(Queue));
    PVOID Buffer;
    NTSTATUS Status = WdfRequestRetrieveInputBuffer(Request, 1, &Buffer, &Length);

    if (NT_SUCCESS(Status) && Length > sizeof(Context->Kept)) {
        Status = STATUS_INVALID_BUFFER_SIZE;
    }
    if (!NT_SUCCESS(Status)) {
        WdfRequestComplete(Request, Status);
        return;
    }
    WdfSpinLockAcquire(Context->Lock);
    RtlCopyMemory(Context->Kept, Buffer, Length);
    Context->Length = Length;
    Context->Writes++;
    WdfSpinLockRelease(Context->Lock);
    WdfRequestCompleteWithInformation(Request, STATUS_SUCCESS, Length);
}

static VOID NTAPI Read(WDFQUEUE Queue, WDFREQUEST Request, size_t Length)
{
    DEVICE_CONTEXT *Context = ContextOf(WdfIoQueueGetDevice(Queue));
    PVOID Buffer;
    NTSTATUS Status = WdfRequestRetrieveOutputBuffer(Request, 1, &Buffer, &Length);

    if (!NT_SUCCESS(Status)) {
        WdfRequestComplete(Request, Status);
        return;
    }
    WdfSpinLockAcquire(Context->Lock);
    if (Length > Context->Length) {
        Length = Context->Length;
    }
    RtlCopyMemory(Buffer, Context->Kept, Length);
    WdfSpinLockRelease(Context->Lock);
    WdfRequestCompleteWithInformation(Request, STATUS_SUCCESS, Length);
}

static VOID NTAPI DeviceControl(WDFQUEUE Queue, WDFREQUEST Request, size_t OutputBufferLength, size_t InputBufferLength,
    ULONG IoControlCode)
{
    DEVICE_CONTEXT *Context = ContextOf(WdfIoQueueGetDevice(Queue));
    ULONG *Count;
    NTSTATUS Status = STATUS_INVALID_DEVICE_REQUEST;

    UNREFERENCED_PARAMETER(OutputBufferLength);
    UNREFERENCED_PARAMETER(InputBufferLength);
    if (IoControlCode == IOCTL_COUNT) {
        Status = WdfRequestRetrieveOutputBuffer(Request, sizeof(*Count), (PVOID *)&Count, NULL);
    }
    if (!NT_SUCCESS(Status)) {
        WdfRequestComplete(Request, Status);
        return;
    }
    WdfSpinLockAcquire(Context->Lock);
    *Count = Context->Writes;
    WdfSpinLockRelease(Context->Lock);
    WdfRequestCompleteWithInformation(Request, STATUS_SUCCESS, sizeof(*Count));
}

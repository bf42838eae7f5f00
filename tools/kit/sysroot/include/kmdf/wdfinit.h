/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a driver in C writes beside the calls: the structures' initial values, contexts, and short names.
 *
 * The values are those that the headers in https://github.com/microsoft/Windows-Driver-Frameworks (MIT),
 * src/publicinc/wdf/kmdf, give; a structure that is missing here is zeroed and given its Size by hand.
 */
#ifndef KIT_WDFINIT_H
#define KIT_WDFINIT_H

#define WDF_NO_OBJECT_ATTRIBUTES NULL
#define WDF_NO_EVENT_CALLBACK NULL
#define WDF_NO_HANDLE NULL
#define WDF_NO_CONTEXT NULL
#define WDF_NO_SEND_OPTIONS NULL

/* Relative times, which NT counts in units of 100 ns and below zero. */
#define WDF_REL_TIMEOUT_IN_US(Time) (-(LONGLONG)(Time) * 10)
#define WDF_REL_TIMEOUT_IN_MS(Time) WDF_REL_TIMEOUT_IN_US((LONGLONG)(Time) * 1000)
#define WDF_REL_TIMEOUT_IN_SEC(Time) WDF_REL_TIMEOUT_IN_MS((LONGLONG)(Time) * 1000)

#define KIT_ZEROED(Type, Value) (RtlZeroMemory((Value), sizeof(Type)), (Value)->Size = sizeof(Type))

static __inline WDFDRIVER WdfGetDriver(VOID)
{
    return WdfDriverGlobals->Driver;
}

static __inline VOID WDF_DRIVER_CONFIG_INIT(PWDF_DRIVER_CONFIG Config, PFN_WDF_DRIVER_DEVICE_ADD EvtDriverDeviceAdd)
{
    KIT_ZEROED(WDF_DRIVER_CONFIG, Config);
    Config->EvtDriverDeviceAdd = EvtDriverDeviceAdd;
}

static __inline VOID WDF_OBJECT_ATTRIBUTES_INIT(PWDF_OBJECT_ATTRIBUTES Attributes)
{
    KIT_ZEROED(WDF_OBJECT_ATTRIBUTES, Attributes);
    Attributes->ExecutionLevel = WdfExecutionLevelInheritFromParent;
    Attributes->SynchronizationScope = WdfSynchronizationScopeInheritFromParent;
}

static __inline VOID WDF_PNPPOWER_EVENT_CALLBACKS_INIT(PWDF_PNPPOWER_EVENT_CALLBACKS Callbacks)
{
    KIT_ZEROED(WDF_PNPPOWER_EVENT_CALLBACKS, Callbacks);
}

static __inline VOID WDF_POWER_POLICY_EVENT_CALLBACKS_INIT(PWDF_POWER_POLICY_EVENT_CALLBACKS Callbacks)
{
    KIT_ZEROED(WDF_POWER_POLICY_EVENT_CALLBACKS, Callbacks);
}

static __inline VOID WDF_FILEOBJECT_CONFIG_INIT(PWDF_FILEOBJECT_CONFIG Config, PFN_WDF_DEVICE_FILE_CREATE EvtCreate,
    PFN_WDF_FILE_CLOSE EvtClose, PFN_WDF_FILE_CLEANUP EvtCleanup)
{
    KIT_ZEROED(WDF_FILEOBJECT_CONFIG, Config);
    Config->EvtDeviceFileCreate = EvtCreate;
    Config->EvtFileClose = EvtClose;
    Config->EvtFileCleanup = EvtCleanup;
    Config->FileObjectClass = WdfFileObjectWdfCannotUseFsContexts;
    Config->AutoForwardCleanupClose = WdfUseDefault;
}

static __inline VOID WDF_IO_QUEUE_CONFIG_INIT(PWDF_IO_QUEUE_CONFIG Config, WDF_IO_QUEUE_DISPATCH_TYPE DispatchType)
{
    KIT_ZEROED(WDF_IO_QUEUE_CONFIG, Config);
    Config->PowerManaged = WdfUseDefault;
    Config->DispatchType = DispatchType;
    if (DispatchType == WdfIoQueueDispatchParallel) {
        Config->Settings.Parallel.NumberOfPresentedRequests = (ULONG)-1;
    }
}

static __inline VOID WDF_IO_QUEUE_CONFIG_INIT_DEFAULT_QUEUE(PWDF_IO_QUEUE_CONFIG Config,
    WDF_IO_QUEUE_DISPATCH_TYPE DispatchType)
{
    WDF_IO_QUEUE_CONFIG_INIT(Config, DispatchType);
    Config->DefaultQueue = TRUE;
}

static __inline VOID WDF_TIMER_CONFIG_INIT_PERIODIC(PWDF_TIMER_CONFIG Config, PFN_WDF_TIMER EvtTimerFunc, LONG Period)
{
    KIT_ZEROED(WDF_TIMER_CONFIG, Config);
    Config->EvtTimerFunc = EvtTimerFunc;
    Config->Period = Period;
    Config->AutomaticSerialization = TRUE;
}

static __inline VOID WDF_TIMER_CONFIG_INIT(PWDF_TIMER_CONFIG Config, PFN_WDF_TIMER EvtTimerFunc)
{
    WDF_TIMER_CONFIG_INIT_PERIODIC(Config, EvtTimerFunc, 0);
}

static __inline VOID WDF_DPC_CONFIG_INIT(PWDF_DPC_CONFIG Config, PFN_WDF_DPC EvtDpcFunc)
{
    KIT_ZEROED(WDF_DPC_CONFIG, Config);
    Config->EvtDpcFunc = EvtDpcFunc;
    Config->AutomaticSerialization = TRUE;
}

static __inline VOID WDF_WORKITEM_CONFIG_INIT(PWDF_WORKITEM_CONFIG Config, PFN_WDF_WORKITEM EvtWorkItemFunc)
{
    KIT_ZEROED(WDF_WORKITEM_CONFIG, Config);
    Config->EvtWorkItemFunc = EvtWorkItemFunc;
    Config->AutomaticSerialization = TRUE;
}

static __inline VOID WDF_REQUEST_PARAMETERS_INIT(PWDF_REQUEST_PARAMETERS Parameters)
{
    KIT_ZEROED(WDF_REQUEST_PARAMETERS, Parameters);
}

static __inline VOID WDF_REQUEST_SEND_OPTIONS_INIT(PWDF_REQUEST_SEND_OPTIONS Options, ULONG Flags)
{
    KIT_ZEROED(WDF_REQUEST_SEND_OPTIONS, Options);
    Options->Flags = Flags;
}

static __inline VOID WDF_REQUEST_REUSE_PARAMS_INIT(PWDF_REQUEST_REUSE_PARAMS Params, ULONG Flags, NTSTATUS Status)
{
    KIT_ZEROED(WDF_REQUEST_REUSE_PARAMS, Params);
    Params->Flags = Flags;
    Params->Status = Status;
}

static __inline VOID WDF_DEVICE_STATE_INIT(PWDF_DEVICE_STATE State)
{
    KIT_ZEROED(WDF_DEVICE_STATE, State);
    State->Disabled = State->DontDisplayInUI = State->Failed = State->NotDisableable = WdfUseDefault;
    State->Removed = State->ResourcesChanged = State->AssignedToGuest = WdfUseDefault;
}

static __inline VOID WDF_DEVICE_PNP_CAPABILITIES_INIT(PWDF_DEVICE_PNP_CAPABILITIES Caps)
{
    KIT_ZEROED(WDF_DEVICE_PNP_CAPABILITIES, Caps);
    Caps->LockSupported = Caps->EjectSupported = Caps->Removable = Caps->DockDevice = WdfUseDefault;
    Caps->UniqueID = Caps->SilentInstall = Caps->SurpriseRemovalOK = WdfUseDefault;
    Caps->HardwareDisabled = Caps->NoDisplayInUI = WdfUseDefault;
    Caps->Address = Caps->UINumber = (ULONG)-1;
}

#define WdfObjectReference(Handle) WdfObjectReferenceActual((Handle), NULL, __LINE__, __FILE__)
#define WdfObjectDereference(Handle) WdfObjectDereferenceActual((Handle), NULL, __LINE__, __FILE__)

/* Contexts: a type's information is one object for the whole driver, by whose address the framework knows the type. */

#define WDF_GET_CONTEXT_TYPE_INFO(Type) (&_WDF_##Type##_TYPE_INFO)

#define WDF_DECLARE_CONTEXT_TYPE_WITH_NAME(Type, Get) \
    extern const WDF_OBJECT_CONTEXT_TYPE_INFO _WDF_##Type##_TYPE_INFO; \
    __declspec(selectany) const WDF_OBJECT_CONTEXT_TYPE_INFO _WDF_##Type##_TYPE_INFO = { \
        sizeof(WDF_OBJECT_CONTEXT_TYPE_INFO), #Type, sizeof(Type), &_WDF_##Type##_TYPE_INFO, NULL \
    }; \
    static __inline Type *Get(WDFOBJECT Handle) \
    { \
        return (Type *)WdfObjectGetTypedContextWorker(Handle, WDF_GET_CONTEXT_TYPE_INFO(Type)); \
    }

#define WDF_DECLARE_CONTEXT_TYPE(Type) WDF_DECLARE_CONTEXT_TYPE_WITH_NAME(Type, WdfObjectGet_##Type)

#define WDF_OBJECT_ATTRIBUTES_SET_CONTEXT_TYPE(Attributes, Type) \
    ((Attributes)->ContextTypeInfo = WDF_GET_CONTEXT_TYPE_INFO(Type))

#define WDF_OBJECT_ATTRIBUTES_INIT_CONTEXT_TYPE(Attributes, Type) \
    (WDF_OBJECT_ATTRIBUTES_INIT(Attributes), WDF_OBJECT_ATTRIBUTES_SET_CONTEXT_TYPE(Attributes, Type))

#endif
